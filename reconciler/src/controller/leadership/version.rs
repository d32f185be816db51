//! Which version the API server has, when several servers of different versions may answer. Pure.

/// The version that counts. While servers are upgraded one after the other they answer by turns: another version counts
/// once two answers in a row have named it.
#[derive(Debug, Default)]
pub(super) struct Version {
    counts: Option<String>,
    /// The last answer, if it named another one.
    other: Option<String>,
}

impl Version {
    /// Takes an answer in; gives whether the version that counts is another one now.
    pub(super) fn answered(&mut self, version: &str) -> bool {
        let Some(counts) = &mut self.counts else {
            self.counts = Some(version.to_owned());
            return false;
        };
        if counts == version {
            self.other = None;
            return false;
        }
        if self.other.as_deref() != Some(version) {
            self.other = Some(version.to_owned());
            return false;
        }
        version.clone_into(counts);
        self.other = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_turns_change_nothing_and_the_version_that_stays_counts_once() {
        let mut version = Version::default();
        let mut changed = |answers: &str| -> Vec<bool> {
            answers
                .split(' ')
                .map(|answer| version.answered(answer))
                .collect()
        };
        assert_eq!(changed("v1 v2 v1 v2 v1"), [false; 5]);
        assert_eq!(changed("v2 v2 v2 v2"), [false, true, false, false]);
        assert_eq!(changed("v3 v2 v3 v3"), [false, false, false, true]);
    }
}
