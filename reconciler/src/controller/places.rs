//! Bounds the runs that work at once. A run that only waits holds no place. No I/O.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places that there are.
#[derive(Clone)]
pub(crate) struct Places(Arc<Semaphore>);

impl Places {
    pub(crate) fn new(number: usize) -> Self {
        Self(Arc::new(Semaphore::new(number)))
    }

    /// Whether a run could begin now.
    pub(crate) fn are_free(&self) -> bool {
        self.0.available_permits() > 0
    }

    /// Gives a place to each in the order in which this was called.
    pub(crate) fn enter(&self) -> impl Future<Output = Place> + Send + 'static {
        let semaphore = self.0.clone();
        async move {
            let place = Place {
                semaphore,
                state: Mutex::default(),
                returning: tokio::sync::Mutex::default(),
            };
            place.return_to().await;
            place
        }
    }
}

/// A place, held until it is dropped.
pub(crate) struct Place {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
    returning: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    held: Option<OwnedSemaphorePermit>,
    /// Waits under way: several objects of one run may be waited for at once.
    waits: usize,
}

impl Place {
    /// Waits for something without holding the place, and takes one again afterwards.
    pub(crate) async fn leave_for<T>(&self, wait: impl Future<Output = T>) -> T {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waits += 1;
            state.held = None;
        }
        let awaited = wait.await;
        let is_last = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waits -= 1;
            state.waits == 0
        };
        if is_last {
            self.return_to().await;
        }
        awaited
    }

    async fn return_to(&self) {
        // One place is enough, however many waits end: whoever queued for a second would wait for the first.
        let _one_at_a_time = self.returning.lock().await;
        if !self.lacks_place() {
            return;
        }
        // Never closed, so this gives a place.
        let held = self.semaphore.clone().acquire_owned().await.ok();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waits == 0 {
            state.held = held;
        }
    }

    fn lacks_place(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held.is_none() && state.waits == 0
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_run_that_waits_lets_another_work_and_takes_a_place_again_afterwards() {
        let places = Places::new(1);
        let first = places.enter().await;
        assert!(places.enter().now_or_never().is_none());
        let (over, wait) = oneshot::channel::<()>();
        let mut waiting = Box::pin(first.leave_for(wait));
        assert!(waiting.as_mut().now_or_never().is_none());
        let second = places.enter().now_or_never().unwrap();
        over.send(()).unwrap();
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(second);
        assert!(waiting.as_mut().now_or_never().is_some());
        assert!(places.enter().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_run_comes_back_when_the_last_of_its_waits_is_over() {
        let places = Places::new(1);
        let run = places.enter().await;
        let (over, wait) = oneshot::channel::<()>();
        let mut long = Box::pin(run.leave_for(wait));
        assert!(long.as_mut().now_or_never().is_none());
        run.leave_for(async {}).await;
        assert!(places.enter().now_or_never().is_some());
        over.send(()).unwrap();
        assert!(long.as_mut().now_or_never().is_some());
        assert!(places.enter().now_or_never().is_none());
    }

    #[tokio::test]
    async fn waits_that_end_while_the_run_queues_for_its_place_need_no_second_one() {
        let places = Places::new(1);
        let run = places.enter().await;
        let (first_is_over, first) = oneshot::channel::<()>();
        let mut first = Box::pin(run.leave_for(first));
        assert!(first.as_mut().now_or_never().is_none());
        let other = places.enter().now_or_never().unwrap();
        first_is_over.send(()).unwrap();
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(run.leave_for(async {}));
        assert!(second.as_mut().now_or_never().is_none());
        drop(other);
        assert!(first.as_mut().now_or_never().is_some());
        assert!(second.as_mut().now_or_never().is_some());
    }
}
