//! The life of one Kustomization, event by event, on a clock that stands still unless it is moved.

mod absent;
mod drift;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn inputs(revision: &str) -> Inputs {
    Inputs {
        generation: 1,
        revision: Some(revision.to_owned()),
        interval: Duration::from_secs(600),
        retry_interval: Duration::from_secs(60),
        timeout: Duration::from_secs(120),
        phase: 500,
        ..Inputs::default()
    }
}

fn given(state: &mut State, inputs: Inputs, second: i64) -> Vec<Effect> {
    state.step(Event::Inputs(Box::new(inputs)), at(second))
}

fn ended(state: &mut State, ended: Ended, second: i64) -> Vec<Effect> {
    state.step(Event::Finished(ended), at(second))
}

fn applied(wait: bool) -> Ended {
    Ended::Applied {
        wait,
        told: false,
        recheck: None,
    }
}

fn settled() -> State {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    ended(&mut state, applied(true), 1);
    assert_eq!(
        (state.step(Event::Judged(Health::Healthy), at(2))),
        [Effect::ReportReady]
    );
    state
}

#[test]
fn a_new_kustomization_runs_at_once_and_waits_for_health() {
    let mut state = State::new(at(0));
    assert_eq!(given(&mut state, inputs("a"), 0), [Effect::Start(Scope::Full)]);
    assert_eq!(ended(&mut state, applied(true), 1), [Effect::Judge]);
    assert_eq!((state.step(Event::Judged(Health::InProgress), at(2))), []);
    assert_eq!(
        (state.step(Event::Judged(Health::Healthy), at(3))),
        [Effect::ReportReady]
    );
}

#[test]
fn nothing_happens_when_nothing_changed() {
    let mut state = settled();
    assert_eq!(given(&mut state, inputs("a"), 10), []);
    assert_eq!((state.step(Event::Tick, at(20))), []);
    assert_eq!((state.step(Event::Judged(Health::Healthy), at(21))), []);
}

#[test]
fn a_commit_that_comes_while_a_run_waits_for_health_cancels_the_wait() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    ended(&mut state, applied(true), 1);
    assert_eq!(given(&mut state, inputs("b"), 2), [Effect::Start(Scope::Changes)]);
}

#[test]
fn commits_that_come_while_a_run_writes_are_run_for_once_when_it_ends() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    // It stops if it only waits.
    assert_eq!(given(&mut state, inputs("b"), 1), [Effect::Supersede]);
    assert_eq!(given(&mut state, inputs("c"), 2), []);
    assert_eq!(
        ended(&mut state, applied(false), 3),
        [Effect::Start(Scope::Changes)]
    );
    assert_eq!(ended(&mut state, applied(false), 4), []);
}

#[test]
fn a_failed_run_is_tried_again_after_the_retry_interval_and_at_once_for_a_new_commit() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    ended(&mut state, Ended::Failed(Failure::Build("x".into())), 1);
    assert_eq!((state.step(Event::Tick, at(30))), []);
    assert_eq!((state.step(Event::Tick, at(61))), [Effect::Start(Scope::Full)]);
    ended(&mut state, Ended::Failed(Failure::Build("x".into())), 62);
    assert_eq!(
        given(&mut state, inputs("b"), 63),
        [Effect::Start(Scope::Changes)]
    );
}

#[test]
fn what_is_not_healthy_at_the_deadline_is_reported_and_reports_ready_when_it_recovers() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    ended(&mut state, applied(true), 1);
    assert_eq!((state.step(Event::Tick, at(119))), []);
    assert_eq!(
        (state.step(Event::Tick, at(120))),
        [Effect::ReportUnhealthy(String::new())]
    );
    assert_eq!(
        (state.step(Event::Judged(Health::Healthy), at(130))),
        [Effect::ReportReady]
    );
}

#[test]
fn a_healthy_object_turns_unhealthy_on_failed_or_on_in_progress_for_longer_than_the_timeout() {
    let mut state = settled();
    assert_eq!(
        (state.step(Event::Judged(Health::Failed("crash".into())), at(10))),
        [Effect::ReportUnhealthy("crash".into())]
    );
    let mut state = settled();
    assert_eq!((state.step(Event::Judged(Health::InProgress), at(10))), []);
    assert_eq!((state.step(Event::Tick, at(129))), []);
    assert_eq!(
        (state.step(Event::Tick, at(130))),
        [Effect::ReportUnhealthy(String::new())]
    );
    let mut state = settled();
    state.step(Event::Judged(Health::InProgress), at(10));
    assert_eq!((state.step(Event::Judged(Health::Healthy), at(20))), []);
}

#[test]
fn a_suspended_kustomization_stops_before_its_next_write_and_runs_for_nothing() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    let suspended = Inputs {
        suspended: true,
        requested: Some("1".into()),
        ..inputs("b")
    };
    assert_eq!(given(&mut state, suspended.clone(), 1), [Effect::Cancel]);
    assert_eq!(given(&mut state, suspended.clone(), 2), []);
    assert_eq!(ended(&mut state, Ended::Canceled, 3), [Effect::ReportSuspended]);
    assert_eq!(
        given(&mut state, suspended.clone(), 4),
        [],
        "once for each generation"
    );
    let changed = Inputs {
        generation: 2,
        ..suspended
    };
    assert_eq!(given(&mut state, changed, 5), [Effect::ReportSuspended]);
    assert_eq!(given(&mut state, inputs("b"), 6), [Effect::Start(Scope::Full)]);
}

#[test]
fn a_deleted_kustomization_is_finalized_once() {
    let mut state = settled();
    let deleting = Inputs {
        deleting: true,
        ..inputs("a")
    };
    assert_eq!(
        given(&mut state, deleting.clone(), 10),
        [Effect::Start(Scope::Finalize)]
    );
    assert_eq!(given(&mut state, deleting.clone(), 11), []);
    assert_eq!(ended(&mut state, Ended::Finalized, 12), [Effect::Forget]);
    assert_eq!(given(&mut state, deleting, 13), []);
}

#[test]
fn a_request_runs_everything_anew_also_while_a_run_is_under_way() {
    let mut state = settled();
    let requested = Inputs {
        requested: Some("now".into()),
        ..inputs("a")
    };
    assert_eq!(given(&mut state, requested, 10), [Effect::Start(Scope::Full)]);
    let again = Inputs {
        requested: Some("later".into()),
        ..inputs("a")
    };
    assert_eq!(given(&mut state, again, 11), [Effect::Supersede]);
    assert_eq!(
        ended(&mut state, applied(false), 12),
        [Effect::Start(Scope::Full)]
    );
}

#[test]
fn the_full_check_comes_at_the_phase_of_the_uid() {
    let next_check = |phase| {
        let mut state = State::new(at(0));
        given(&mut state, Inputs { phase, ..inputs("a") }, 0);
        ended(&mut state, applied(false), 1);
        state.next_wake().unwrap().as_second()
    };
    assert_eq!((next_check(400) - next_check(100)).rem_euclid(600), 180);
}

#[test]
fn rule_2_everything_is_looked_at_again_when_no_late_write_can_arrive_any_more() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    ended(
        &mut state,
        Ended::Applied {
            wait: false,
            told: false,
            recheck: Some(at(60)),
        },
        1,
    );
    assert_eq!((state.step(Event::Tick, at(59))), []);
    assert_eq!((state.step(Event::Tick, at(60))), [Effect::Start(Scope::Full)]);
    ended(&mut state, applied(false), 61);
    assert_eq!((state.step(Event::Tick, at(130))), []);
}

#[test]
fn a_deletion_does_not_wait_for_the_retry_of_a_failed_run() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    ended(&mut state, Ended::Failed(Failure::Build("x".into())), 1);
    let deleting = Inputs {
        deleting: true,
        ..inputs("a")
    };
    assert_eq!(given(&mut state, deleting, 2), [Effect::Start(Scope::Finalize)]);
}

#[test]
fn a_run_that_fails_while_it_is_canceled_holds_the_deletion_up_no_longer() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    let deleting = Inputs {
        deleting: true,
        ..inputs("a")
    };
    assert_eq!(given(&mut state, deleting, 1), [Effect::Cancel]);
    let failure = Failure::Apply("the connection broke".into());
    assert_eq!(
        ended(&mut state, Ended::Failed(failure), 2),
        [Effect::Start(Scope::Finalize)]
    );
}

#[test]
fn the_time_that_health_may_take_begins_with_the_run_and_not_with_its_wait_for_a_place() {
    let mut state = State::new(at(0));
    given(&mut state, inputs("a"), 0);
    state.began(at(100));
    assert_eq!(ended(&mut state, applied(true), 101), [Effect::Judge]);
    assert_eq!(state.step(Event::Tick, at(130)), []);
    assert!(state.is_waiting());
}

fn leaving(awaits_heirs: bool) -> Inputs {
    Inputs {
        deleting: true,
        awaits_heirs,
        ..inputs("a")
    }
}

#[test]
fn a_deletion_waits_for_what_heirs_want_and_goes_on_once_that_is_known() {
    let mut state = settled();
    assert_eq!(given(&mut state, leaving(true), 10), []);
    assert_eq!(state.next_wake(), Some(at(70)));
    assert_eq!(
        given(&mut state, leaving(false), 12),
        [Effect::Start(Scope::Finalize)]
    );
}

#[test]
fn a_deletion_waits_no_longer_than_a_minute_for_heirs() {
    let mut state = settled();
    given(&mut state, leaving(true), 10);
    assert_eq!(given(&mut state, leaving(true), 40), []);
    assert_eq!(state.step(Event::Tick, at(70)), [Effect::Start(Scope::Finalize)]);
}

#[test]
fn a_deletion_that_failed_is_tried_again_as_soon_as_it_is_confirmed() {
    let mut state = settled();
    given(&mut state, leaving(false), 10);
    ended(&mut state, Ended::Failed(Failure::Prune("data".into())), 11);
    assert_eq!(given(&mut state, leaving(false), 12), []);
    let confirmed = Inputs {
        confirmed: Some("main@sha1:a".to_owned()),
        ..leaving(false)
    };
    assert_eq!(given(&mut state, confirmed, 13), [Effect::Start(Scope::Finalize)]);
}

#[test]
fn rule_9_what_the_source_leaves_out_is_run_for_unless_it_touches_nothing() {
    let ignoring = |paths: &str| Inputs {
        ignore: Some(paths.to_owned()),
        ..inputs("a")
    };
    let mut state = settled();
    assert_eq!(
        given(&mut state, ignoring("/a.yaml"), 10),
        [Effect::Start(Scope::Changes)]
    );
    ended(&mut state, applied(false), 11);
    state.skip_to("a", Some("/b.yaml"));
    assert_eq!(given(&mut state, ignoring("/b.yaml"), 12), []);
}
