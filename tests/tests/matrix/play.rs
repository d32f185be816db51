//! Plays a case against a server. Does I/O.
//!
//! In: a case, a client. Out: its answers, one for each row, with everything in them that a server makes up masked.

use std::collections::HashMap;
use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::case::{Case, Condition, Does, Last, Row};
use crate::mask::Masks;
use crate::request::{Ask, core, get, post};

/// How long controllers may take, and events.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often an answer that is waited for is asked for.
const POLL: Duration = Duration::from_millis(25);

/// What a server answered to a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) row: String,
    pub(crate) request: String,
    pub(crate) answer: Value,
}

/// A case that is being told.
struct Telling<'a> {
    client: &'a Client,
    kept: HashMap<String, String>,
    masks: Masks,
    watches: HashMap<&'static str, Stream>,
}

/// The lines of a watch.
struct Stream {
    body: Body,
    read: Vec<u8>,
}

/// Tells a case to a server.
pub(crate) async fn play(case: &Case, client: &Client) -> Vec<Answer> {
    let namespace = case.namespace();
    let mut telling = Telling {
        client,
        kept: HashMap::from([("ns".to_owned(), namespace.clone())]),
        masks: Masks::default(),
        watches: HashMap::new(),
    };
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    let (code, _, body) = telling.send(&post("/api/v1/namespaces", &body)).await;
    assert_eq!(code, 201, "no namespace for {:?}: {body}", case.name);
    // Pods are refused until their account is there.
    let account = get(core("serviceaccounts/default"));
    telling.ask_until(&account, &Condition::Code(200)).await;
    let mut answers = Vec::with_capacity(case.rows.len());
    for row in &case.rows {
        let answer = telling.row(row).await;
        answers.push(Answer {
            row: row.name.to_owned(),
            request: row.line(),
            answer,
        });
    }
    answers
}

impl Telling<'_> {
    async fn row(&mut self, row: &Row) -> Value {
        let raw = match &row.does {
            Does::Ask(ask) => self.ask(ask).await,
            Does::AskUntil(ask, condition) => self.ask_until(ask, condition).await,
            Does::Open(name, ask) => self.open(name, ask).await,
            Does::Read(name, last) => self.read(name, *last, row).await,
        };
        for (name, pointer) in &row.keeps {
            let found = raw.pointer(&format!("/body{pointer}"));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            self.kept.insert((*name).to_owned(), text);
        }
        self.masks.mask(raw)
    }

    async fn ask(&self, ask: &Ask) -> Value {
        let (code, headers, body) = self.send(ask).await;
        let mut answer = json!({ "code": code, "body": body });
        for name in ["warning", "retry-after", "content-type"] {
            let values: Vec<&str> = headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .collect();
            // JSON is what most answers are.
            if !values.is_empty() && values != ["application/json"] {
                answer[name] = json!(values);
            }
        }
        answer
    }

    async fn ask_until(&self, ask: &Ask, condition: &Condition) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(ask).await;
            let at = |pointer: &str| answer.pointer(&format!("/body{pointer}"));
            let is_so = match condition {
                Condition::Is(pointer, wanted) => at(pointer) == Some(wanted),
                Condition::Has(pointer) => at(pointer).is_some(),
                Condition::Code(code) => answer["code"] == json!(code),
            };
            if is_so {
                return answer;
            }
            if Instant::now() > deadline {
                return json!({ "waited in vain for": answer });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn open(&mut self, name: &'static str, ask: &Ask) -> Value {
        let response = self.client.send(self.request(ask)).await.unwrap();
        let code = response.status().as_u16();
        if code != 200 {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            return json!({ "code": code, "body": parsed(&body) });
        }
        self.watches.insert(
            name,
            Stream {
                body: response.into_body(),
                read: Vec::new(),
            },
        );
        json!({ "code": code })
    }

    async fn read(&mut self, name: &str, last: Last, row: &Row) -> Value {
        let stream = self
            .watches
            .get_mut(name)
            .unwrap_or_else(|| panic!("{:?}: no watch is open", row.name));
        let mut events = Vec::new();
        let reading = async {
            while let Some(event) = stream.next().await {
                let is_last = match last {
                    Last::Named(wanted) => event.pointer("/object/metadata/name") == Some(&json!(wanted)),
                    Last::Type(wanted) => event["type"] == json!(wanted),
                    Last::End => false,
                };
                events.push(event);
                if is_last {
                    break;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(()) => json!({ "body": { "events": events } }),
            Err(_) => json!({ "waited in vain after": events }),
        }
    }

    async fn send(&self, ask: &Ask) -> (u16, http::HeaderMap, Value) {
        let response = self.client.send(self.request(ask)).await;
        let response = response.unwrap_or_else(|error| panic!("{}: {error}", ask.line()));
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", ask.line()))
            .to_bytes();
        (parts.status.as_u16(), parts.headers, parsed(&body))
    }

    fn request(&self, ask: &Ask) -> http::Request<Body> {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(
                ask.query
                    .iter()
                    .map(|(name, value)| (self.filled(name), self.filled(value))),
            )
            .finish();
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = http::Request::builder()
            .method(ask.method)
            .uri(format!("{}{mark}{query}", self.filled(&ask.path)))
            .header(http::header::ACCEPT, ask.accept);
        if let Some(media) = ask.content_type {
            request = request.header(http::header::CONTENT_TYPE, media);
        }
        let body = ask
            .body
            .as_deref()
            .map_or_else(Vec::new, |body| self.filled(body).into_bytes());
        request.body(Body::from(body)).unwrap()
    }

    /// A text with what earlier answers held in it.
    fn filled(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in &self.kept {
            out = out.replace(&format!("${{{name}}}"), value);
        }
        out
    }
}

impl Stream {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(parsed(&line));
            }
            let frame = self.body.frame().await?.ok()?;
            self.read
                .extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}
