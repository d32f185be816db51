//! What a Kustomization needs and is not there: sources, dependencies, kinds and namespaces.

use super::*;

#[test]
fn what_blocks_is_reported_once_and_the_run_starts_when_it_is_gone() {
    let mut state = State::new(at(0));
    let blocked = Inputs {
        blocked: Some(Failure::Dependency("dependency 'a/b' is not ready".into())),
        ..inputs("a")
    };
    assert_eq!(
        given(&mut state, blocked.clone(), 0),
        [Effect::ReportBlocked(Failure::Dependency(
            "dependency 'a/b' is not ready".into()
        ))]
    );
    assert_eq!(given(&mut state, blocked, 1), []);
    assert_eq!(given(&mut state, inputs("a"), 2), [Effect::Start(Scope::Full)]);
}

#[test]
fn rule_22_a_request_is_answered_also_while_something_blocks() {
    let mut state = State::new(at(0));
    let why = Failure::Dependency("dependency 'a/b' is not ready".into());
    let blocked = Inputs {
        blocked: Some(why.clone()),
        ..inputs("a")
    };
    given(&mut state, blocked.clone(), 0);
    let requested = Inputs {
        requested: Some("now".into()),
        ..blocked
    };
    assert_eq!(
        given(&mut state, requested.clone(), 1),
        [Effect::ReportBlocked(why)]
    );
    assert_eq!(given(&mut state, requested, 2), []);
}

fn missing(names: &[&str]) -> Ended {
    Ended::Failed(Failure::Missing {
        text: "not there".to_owned(),
        what: names.iter().map(|name| namespace(name)).collect(),
    })
}

fn namespace(name: &str) -> Missing {
    Missing::Namespace(name.to_owned())
}

#[test]
fn what_failed_for_something_missing_runs_when_all_of_it_has_appeared() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    assert_eq!(ended(&mut state, missing(&["x", "y"]), 1), []);
    assert_eq!(state.step(Event::Appeared(namespace("z")), at(2)), []);
    assert_eq!(state.step(Event::Appeared(namespace("x")), at(3)), []);
    assert_eq!(
        state.step(Event::Appeared(namespace("y")), at(4)),
        [Effect::Start(Scope::Full)]
    );
}

#[test]
fn what_is_said_to_be_there_and_is_not_makes_no_run_follow_the_other_at_once() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    let mut now = 1;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        ended(&mut state, missing(&["x"]), now);
        let mut effects = state.step(Event::Appeared(namespace("x")), at(now));
        let began = now;
        while effects.is_empty() {
            now += 1;
            effects = state.step(Event::Tick, at(now));
        }
        pauses.push(now - began);
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60]);
    ended(&mut state, applied(false), now);
    given(&mut state, inputs("b"), now);
    ended(&mut state, missing(&["x"]), now);
    assert_eq!(
        state.step(Event::Appeared(namespace("x")), at(now)),
        [Effect::Start(Scope::Full)]
    );
}

#[test]
fn a_request_that_comes_while_a_dependency_is_not_ready_is_run_for_when_it_is() {
    let mut state = settled();
    let blocked = Inputs {
        requested: Some("now".into()),
        blocked: Some(Failure::Dependency(
            "dependency 'flux-system/a' is not ready".into(),
        )),
        ..inputs("a")
    };
    let block = blocked.blocked.clone().unwrap();
    assert_eq!(given(&mut state, blocked, 10), [Effect::ReportBlocked(block)]);
    assert_eq!(given(&mut state, inputs("a"), 11), [Effect::Start(Scope::Full)]);
}

fn missing_source(awaited: bool) -> Failure {
    Failure::SourceMissing {
        text: "Source 'GitRepository/flux-system/app' not found".to_owned(),
        awaited,
    }
}

#[test]
fn a_source_that_does_not_exist_is_awaited_for_a_moment_before_it_is_trouble() {
    let mut state = State::new(at(0));
    let blocked = || Inputs {
        blocked: Some(missing_source(false)),
        revision: None,
        ..inputs("a")
    };
    let reported = |awaited| [Effect::ReportBlocked(missing_source(awaited))];
    assert_eq!(given(&mut state, blocked(), 0), reported(true));
    assert_eq!(given(&mut state, blocked(), 3), []);
    assert_eq!(state.next_wake(), Some(at(15)));
    assert_eq!(state.step(Event::Tick, at(15)), reported(false));
    assert_eq!(state.next_wake(), None);
    assert_eq!(given(&mut state, inputs("a"), 20), [Effect::Start(Scope::Full)]);
}
