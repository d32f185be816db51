//! Every request on objects passes here: faults meet it, it is carried out, it is counted.
//!
//! In: requests. Out: answers, or a cut connection. No I/O of its own.

use std::sync::Arc;

use crate::answer::ApiError;
use crate::api::{Answer, Api};
use crate::faults::{Action, Fault, Faults, HoldAt, Release};
use crate::request::Request;
use crate::requests::{RequestKey, Requests};

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut by an injected fault")]
pub(crate) struct Cut;

/// The way to the API.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) api: Api,
    pub(crate) faults: Arc<Faults>,
    pub(crate) requests: Arc<Requests>,
}

impl Gate {
    /// Carries out a request, with what faults make of it.
    pub(crate) async fn pass(self: &Arc<Self>, request: Request) -> Result<Answer, Cut> {
        let key = RequestKey::of(&request);
        let Some(action) = self.faults.find(&key) else {
            return Ok(self.carry_out(&request, key));
        };
        // A task of its own: the request goes on although its client is gone.
        let gate = Arc::clone(self);
        let task = tokio::spawn(async move { gate.meet(action, &request, key).await });
        task.await.unwrap_or(Err(Cut))
    }

    fn carry_out(&self, request: &Request, key: RequestKey) -> Answer {
        let _until_counted = self.requests.carry_out();
        let mut answer = self
            .api
            .handle(request)
            .unwrap_or_else(|error| Answer::error(&error));
        if let Answer::Watch(watch) = &mut answer {
            watch.attach(self.faults.register(key.clone()));
        }
        self.count(key, answer.code());
        answer
    }

    pub(crate) fn count(&self, key: RequestKey, code: u16) {
        tracing::debug!(request = %key, user_agent = %key.user_agent, code, "answered");
        self.requests.count(key, code);
    }

    async fn meet(&self, action: Action, request: &Request, key: RequestKey) -> Result<Answer, Cut> {
        match action {
            Action::Fault(Fault::Refuse(error)) => Ok(self.refuse(&error, key)),
            Action::Fault(Fault::Delay(span)) => {
                self.api.clock.sleep(span).await;
                Ok(self.carry_out(request, key))
            }
            Action::Fault(Fault::CutBefore) => Err(self.cut(key)),
            Action::Fault(Fault::CutAfter) => {
                self.carry_out(request, key);
                Err(Cut)
            }
            Action::Hold(HoldAt::Before, test) => {
                let (release, _until_over) = Faults::wait(key.clone(), &test).await;
                match release {
                    Release::Go => Ok(self.carry_out(request, key)),
                    Release::Cut => Err(self.cut(key)),
                }
            }
            Action::Hold(HoldAt::After, test) => {
                let answer = self.carry_out(request, key.clone());
                let (release, _until_over) = Faults::wait(key, &test).await;
                match release {
                    Release::Go => Ok(answer),
                    Release::Cut => Err(Cut),
                }
            }
        }
    }

    fn refuse(&self, error: &ApiError, key: RequestKey) -> Answer {
        self.count(key, error.code);
        Answer::error(error)
    }

    fn cut(&self, key: RequestKey) -> Cut {
        self.count(key, 0);
        Cut
    }
}
