//! What of the objects of one kind was seen, and what a new sight means. Pure.
//!
//! Generations are compared, not versions: a status that is written, by a controller or by whoever we are, is no
//! change of what an object says.

use std::collections::{HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What a sight of an object means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was there when looking began.
    Listed,
    /// It is new.
    Appeared,
    /// It says something else.
    Changed,
    /// Only what others say of it changed.
    Stirred,
    /// It is being deleted.
    Going,
    /// It is no longer there.
    Gone,
}

/// What is compared of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    name: String,
    uid: String,
    generation: i64,
    version: String,
    going: bool,
}

impl Sight {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            version: metadata.resource_version.clone().unwrap_or_default(),
            going: metadata.deletion_timestamp.is_some(),
        }
    }
}

/// All objects of a kind, as last seen.
#[derive(Debug, Default)]
pub(super) struct Sights {
    known: HashMap<String, Sight>,
    /// Whether there was a whole list before.
    listed: bool,
    /// Names that a list under way has shown.
    listing: HashSet<String>,
}

impl Sights {
    pub(super) fn list_begins(&mut self) {
        self.listing.clear();
    }

    pub(super) fn saw(&mut self, sight: Sight) -> Vec<(String, What)> {
        let name = sight.name.clone();
        self.listing.insert(name.clone());
        let what = self.compare(&sight);
        self.known.insert(name.clone(), sight);
        what.map(|what| (name, what)).into_iter().collect()
    }

    fn compare(&self, now: &Sight) -> Option<What> {
        match self.known.get(&now.name) {
            Some(before) if before == now => None,
            Some(before) if before.uid == now.uid && before.going == now.going => {
                match (before.generation == now.generation, now.going) {
                    (_, true) => None,
                    (true, false) => Some(What::Stirred),
                    (false, false) => Some(What::Changed),
                }
            }
            _ if now.going => Some(What::Going),
            None if !self.listed => Some(What::Listed),
            _ => Some(What::Appeared),
        }
    }

    pub(super) fn gone(&mut self, name: &str) -> Vec<(String, What)> {
        let before = self.known.remove(name);
        before.map(|sight| (sight.name, What::Gone)).into_iter().collect()
    }

    /// What a whole list does not show is gone.
    pub(super) fn list_ends(&mut self) -> Vec<(String, What)> {
        self.listed = true;
        let listing = std::mem::take(&mut self.listing);
        let absent: Vec<String> = self
            .known
            .keys()
            .filter(|name| !listing.contains(*name))
            .cloned()
            .collect();
        absent.iter().flat_map(|name| self.gone(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(uid: &str, generation: i64, version: &str) -> Sight {
        Sight {
            name: "a".to_owned(),
            uid: uid.to_owned(),
            generation,
            version: version.to_owned(),
            going: false,
        }
    }

    fn listed() -> Sights {
        let mut sights = Sights::default();
        sights.list_begins();
        assert_eq!(sights.saw(sight("u1", 1, "1")), [("a".to_owned(), What::Listed)]);
        assert_eq!(sights.list_ends(), []);
        sights
    }

    fn of(what: What) -> [(String, What); 1] {
        [("a".to_owned(), what)]
    }

    #[test]
    fn the_first_list_is_no_change() {
        let mut sights = listed();
        assert_eq!(sights.saw(sight("u1", 1, "1")), []);
    }

    #[test]
    fn a_new_generation_is_a_change_and_a_new_version_alone_is_a_stir() {
        let mut sights = listed();
        assert_eq!(sights.saw(sight("u1", 1, "2")), of(What::Stirred));
        assert_eq!(sights.saw(sight("u1", 2, "3")), of(What::Changed));
    }

    #[test]
    fn an_object_that_was_made_anew_has_appeared() {
        let mut sights = listed();
        assert_eq!(sights.saw(sight("u2", 1, "9")), of(What::Appeared));
    }

    #[test]
    fn an_object_that_goes_is_told_once_and_again_when_it_is_gone() {
        let mut sights = listed();
        let going = |version| Sight {
            going: true,
            ..sight("u1", 2, version)
        };
        assert_eq!(sights.saw(going("2")), of(What::Going));
        assert_eq!(sights.saw(going("3")), []);
        assert_eq!(sights.gone("a"), of(What::Gone));
        assert_eq!(sights.gone("a"), []);
    }

    #[test]
    fn what_happened_while_nobody_looked_shows_in_the_next_list() {
        let mut sights = listed();
        sights.list_begins();
        assert_eq!(sights.list_ends(), of(What::Gone));
        sights.list_begins();
        assert_eq!(sights.saw(sight("u3", 1, "20")), of(What::Appeared));
        assert_eq!(sights.list_ends(), []);
        sights.list_begins();
        assert_eq!(sights.saw(sight("u3", 2, "30")), of(What::Changed));
    }
}
