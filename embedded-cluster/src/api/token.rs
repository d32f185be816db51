//! TokenRequest: tokens for ServiceAccounts, as `kubectl create token` asks for them.
//!
//! In: a TokenRequest. Out: the same with a token. No I/O; nothing is stored.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::context::Context;
use super::{Answer, Api, render};
use crate::answer::{About, ApiError, Cause};
use crate::clock;
use crate::object;
use crate::store::Stored;

const ISSUER: &str = "https://kubernetes.default.svc";
/// Seconds, if nothing is said.
const LIFETIME: i64 = 3600;
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;

/// POST to the subresource `token` of a ServiceAccount.
pub(super) fn create(
    api: &Api,
    context: &Context,
    account: &Stored,
    request: &Value,
) -> Result<Answer, ApiError> {
    let about = About {
        group: "authentication.k8s.io",
        plural: "",
        kind: "TokenRequest",
        name: "",
    };
    let named = object::meta(request, "name");
    if !named.is_empty() && named != context.name {
        let why = "must match the service account name if specified";
        let cause = Cause::invalid("metadata.name", &named.into(), why);
        let name = &context.name;
        return Err(ApiError::invalid(About { name, ..about }, vec![cause]));
    }
    let lifetime = object::number(request, &["spec", "expirationSeconds"]).unwrap_or(LIFETIME);
    let why = match lifetime {
        ..SHORTEST => Some("may not specify a duration less than 10 minutes"),
        SHORTEST..=LONGEST => None,
        _ => Some("may not specify a duration larger than 2^32 seconds"),
    };
    if let Some(why) = why {
        let cause = Cause::invalid("spec.expirationSeconds", &lifetime.into(), why);
        return Err(ApiError::invalid(about, vec![cause]));
    }
    let audiences = match object::items(request, &["spec", "audiences"]) {
        [] => json!([ISSUER]),
        audiences => audiences.into(),
    };
    let uid = object::meta(&account.value, "uid");
    let expiry = context
        .now
        .saturating_add(SignedDuration::from_secs(lifetime))
        .unwrap_or(Timestamp::MAX);
    let token = api.tokens.issue(&json!({
        "iss": ISSUER, "sub": format!("system:serviceaccount:{}:{}", context.namespace, context.name),
        "aud": audiences, "iat": context.now.as_second(), "nbf": context.now.as_second(), "exp": expiry.as_second(),
        "kubernetes.io": {"namespace": context.namespace, "serviceaccount": {"name": context.name, "uid": uid}},
    }));
    let answer = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": context.name, "namespace": context.namespace, "uid": uid,
            "creationTimestamp": clock::seconds(context.now),
        },
        "spec": {
            "audiences": audiences, "expirationSeconds": lifetime,
            "boundObjectRef": object::at(request, &["spec", "boundObjectRef"]),
        },
        "status": {"token": token, "expirationTimestamp": clock::seconds(expiry)},
    });
    Ok(Answer::Body {
        code: 201,
        body: render::bytes(&answer),
        warnings: Vec::new(),
    })
}
