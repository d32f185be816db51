//! How the story is told: lines with the time since its start, and a table of what came of each step. Only prints.

use std::path::Path;
use std::time::Instant;

use crate::error::Error;
use crate::objects::short_revisions;
use crate::ui::{BAD, DIM, GOOD, STRONG, Styled, Table, Ui};

use super::world::Said;

/// Prints lines with the time since the start.
pub struct Teller<'a> {
    ui: &'a mut Ui,
    start: Instant,
    /// The step that is told.
    step: &'static str,
    results: Vec<(&'static str, String)>,
}

impl<'a> Teller<'a> {
    /// The story begins now.
    pub fn new(ui: &'a mut Ui) -> Self {
        Self {
            ui,
            start: Instant::now(),
            step: "",
            results: Vec::new(),
        }
    }

    /// Tells an event.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn tell(&mut self, text: impl std::fmt::Display) -> Result<(), Error> {
        let time = Styled::new(DIM, format!("{:>8.3}s", self.start.elapsed().as_secs_f64()));
        self.ui.line(format_args!("{time}  {text}"))
    }

    /// Adds a line to an event.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn detail(&mut self, text: impl Into<String>) -> Result<(), Error> {
        let text: String = text.into();
        text.lines().try_for_each(|line| {
            self.ui.line(format_args!(
                "           {}",
                Styled::new(DIM, format!("  {line}"))
            ))
        })
    }

    /// Begins a step.
    pub(super) fn chapter(&mut self, step: &'static str, text: impl Into<String>) -> Result<(), Error> {
        self.step = step;
        self.tell(Styled::new(STRONG, text))
    }

    /// Ends the step with what came of it.
    pub(super) fn good(&mut self, text: String) -> Result<(), Error> {
        self.tell(format_args!("{} {text}", Styled::new(GOOD, "ok")))?;
        self.results.push((self.step, text));
        Ok(())
    }

    /// Prints each step with its result; the one that is told failed if the story did.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn summary(&mut self, failed: bool) -> Result<(), Error> {
        self.ui.line("")?;
        let mut table = Table::new(["STEP", "RESULT"]);
        for (step, text) in &self.results {
            table.row(vec![(*step).into(), Styled::new(GOOD, text.as_str())]);
        }
        if failed {
            table.row(vec![self.step.into(), Styled::new(BAD, "failed")]);
        }
        table.print(self.ui)
    }

    /// Says what a person can do now.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn invite(&mut self, kubeconfig: &Path, repository: &str) -> Result<(), Error> {
        self.ui.line("")?;
        self.ui.line(Styled::new(
            STRONG,
            "It stays up until Ctrl-C. In another terminal:",
        ))?;
        for line in [
            &format!("export KUBECONFIG={}", kubeconfig.display()),
            "kubectl get deployments -A",
            "coracle get all",
            &format!("git clone -b staging {repository} && cd shop"),
            "# change something in apps/shop/overlays/staging, commit, push, and look here",
        ] {
            self.ui.line(format_args!("  {line}"))?;
        }
        self.ui.line("")
    }

    /// Tells what the controller says.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn news(&mut self, said: &Said) -> Result<(), Error> {
        let message = short_revisions(&said.message);
        match message.split_once('\n') {
            None => self.tell(format_args!("{}: {message}", said.about)),
            Some(_) => {
                self.tell(format_args!("{}:", said.about))?;
                self.detail(message)
            }
        }
    }
}
