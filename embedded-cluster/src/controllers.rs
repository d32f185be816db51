//! The loop that plays the controller manager: looks at what was touched, and at what is due.
//!
//! In: touched objects, the clock. Out: changes by the collector and the workload simulator. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::collect;
use crate::protection;
use crate::store::{State, Store, Touched};
use crate::workloads::Workloads;

/// How long after its creation a CRD is served.
const ESTABLISH_AFTER: std::time::Duration = std::time::Duration::from_millis(20);
/// How much is done before others get the lock.
const BATCH: usize = 32;

/// The controllers of a cluster.
#[derive(Debug)]
pub(crate) struct Controllers {
    store: Arc<Store>,
    clock: Clock,
    workloads: Arc<Workloads>,
    due: Mutex<Agenda>,
    /// Counts up whenever nothing is left to do.
    idle: watch::Sender<u64>,
}

impl Controllers {
    pub(crate) fn new(store: Arc<Store>, clock: Clock, workloads: Arc<Workloads>) -> Self {
        Self {
            store,
            clock,
            workloads,
            due: Mutex::default(),
            idle: watch::Sender::new(0),
        }
    }

    /// Runs until the task is dropped.
    pub(crate) async fn run(&self) {
        loop {
            while self.step() {
                tokio::task::yield_now().await;
            }
            self.idle.send_modify(|times| *times += 1);
            let next = self.due.lock().unwrap_or_else(PoisonError::into_inner).next();
            let bell = self.store.bell.notified();
            match next {
                Some(moment) => tokio::select! {
                    () = bell => {}
                    () = self.clock.until(moment) => {}
                },
                None => bell.await,
            }
        }
    }

    /// Waits until everything that is due has been done.
    pub(crate) async fn settle(&self) {
        let mut idle = self.idle.subscribe();
        idle.mark_unchanged();
        self.store.bell.notify_one();
        // The sender lives in `self`.
        let _ = idle.changed().await;
    }

    /// Does some of what is to be done; true if it did anything.
    fn step(&self) -> bool {
        let mut state = self.store.lock();
        let due = self.take_due();
        for place in &due {
            self.on_time(&mut state, place);
        }
        for done in 0..BATCH {
            let Some(place) = state.next_touched() else {
                return done > 0 || !due.is_empty();
            };
            self.on_touch(&mut state, &place);
        }
        true
    }

    fn on_touch(&self, state: &mut State, place: &Touched) {
        collect::look(state, &self.clock, place);
        protection::look(state, &self.clock, place);
        if state.get(&place.storage, &place.key).is_none() {
            collect::after_removal(state, place);
        }
        if &*place.storage == "apiextensions.k8s.io/customresourcedefinitions" {
            self.schedule(
                self.clock
                    .now()
                    .saturating_add(ESTABLISH_AFTER)
                    .unwrap_or(Timestamp::MAX),
                place.clone(),
            );
        }
        if let Some(moment) = self.workloads.look(state, &self.clock, place) {
            self.schedule(moment, place.clone());
        }
    }

    fn on_time(&self, state: &mut State, place: &Touched) {
        if &*place.storage == "apiextensions.k8s.io/customresourcedefinitions" {
            let established = state
                .get(&place.storage, &place.key)
                .is_none_or(|stored| crate::crd::is_established(&stored.value));
            if !established {
                collect::establish(state, &self.clock, &place.key);
            }
            return;
        }
        if let Some(moment) = self.workloads.look(state, &self.clock, place) {
            self.schedule(moment, place.clone());
        }
    }

    fn schedule(&self, moment: Timestamp, place: Touched) {
        self.due
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(moment, place);
    }

    fn take_due(&self) -> Vec<Touched> {
        self.due
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(self.clock.now())
    }
}

/// What has to be looked at, and when; each place once, at the earliest moment asked for.
#[derive(Debug, Default)]
struct Agenda {
    moments: BTreeSet<(Timestamp, Touched)>,
    places: HashMap<Touched, Timestamp>,
}

impl Agenda {
    fn add(&mut self, moment: Timestamp, place: Touched) {
        if let Some(known) = self.places.get(&place).copied() {
            if known <= moment {
                return;
            }
            self.moments.remove(&(known, place.clone()));
        }
        self.places.insert(place.clone(), moment);
        self.moments.insert((moment, place));
    }

    fn next(&self) -> Option<Timestamp> {
        self.moments.first().map(|(moment, _)| *moment)
    }

    fn take(&mut self, now: Timestamp) -> Vec<Touched> {
        let mut due = Vec::new();
        while let Some((moment, place)) = self.moments.pop_first() {
            if moment > now {
                self.moments.insert((moment, place));
                break;
            }
            self.places.remove(&place);
            due.push(place);
        }
        due
    }
}
