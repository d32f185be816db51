//! Objects that were changed from outside, and what admits them.

use std::collections::BTreeSet;

use super::*;
use crate::plan::ObjectId;

#[test]
fn touched_objects_are_corrected_together() {
    let id = |name: &str| ObjectId {
        namespace: "a".into(),
        name: name.into(),
        group: String::new(),
        kind: "ConfigMap".into(),
    };
    let mut state = settled();
    assert_eq!(
        (state.step(Event::Touched(id("x")), at(10))),
        [Effect::Start(Scope::Drift(BTreeSet::from([id("x")])))]
    );
    assert_eq!((state.step(Event::Touched(id("y")), at(10))), []);
    assert_eq!(
        ended(&mut state, applied(false), 11),
        [
            Effect::Judge,
            Effect::Start(Scope::Drift(BTreeSet::from([id("y")])))
        ]
    );
}

fn config_map(name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", "default", name)
}

fn set_of(names: &[&str]) -> Scope {
    Scope::Drift(names.iter().map(|name| config_map(name)).collect())
}

#[test]
fn rule_10_an_object_whose_generation_moves_is_checked_once_for_all_moves_until_then() {
    let mut state = settled();
    assert_eq!(state.step(Event::Moved(config_map("x"), at(20)), at(10)), []);
    assert_eq!(state.step(Event::Moved(config_map("x"), at(25)), at(15)), []);
    assert_eq!(state.next_wake(), Some(at(20)));
    assert_eq!(state.step(Event::Tick, at(19)), []);
    assert_eq!(state.step(Event::Tick, at(20)), [Effect::Start(set_of(&["x"]))]);
    ended(&mut state, applied(true), 21);
    assert_eq!(state.step(Event::Tick, at(40)), []);
}

#[test]
fn rule_10_a_check_that_is_due_later_is_not_taken_along_by_the_correction_of_another_object() {
    let mut state = settled();
    state.step(Event::Moved(config_map("x"), at(20)), at(10));
    assert_eq!(
        state.step(Event::Touched(config_map("y")), at(11)),
        [Effect::Start(set_of(&["y"]))]
    );
    ended(&mut state, applied(true), 12);
    assert_eq!(state.step(Event::Tick, at(20)), [Effect::Start(set_of(&["x"]))]);
}

#[test]
fn rule_10_a_check_that_is_due_later_holds_no_revision_up() {
    let mut state = settled();
    state.step(Event::Moved(config_map("x"), at(20)), at(10));
    assert!(state.may_skip());
}

#[test]
fn rule_12_everything_is_checked_when_what_admits_objects_changed_and_once_more_when_it_changes_meanwhile() {
    let mut state = settled();
    let changed = || Event::SurroundingsChanged;
    assert_eq!(state.step(changed(), at(10)), [Effect::Start(Scope::Around)]);
    assert_eq!(state.step(changed(), at(11)), []);
    assert_eq!(state.step(changed(), at(12)), []);
    assert_eq!(
        ended(&mut state, applied(true), 13),
        [Effect::Judge, Effect::Start(Scope::Around)]
    );
    assert_eq!(ended(&mut state, applied(true), 14), [Effect::Judge]);
}
