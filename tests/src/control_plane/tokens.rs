//! Tokens of ServiceAccounts that last as long as a test wants: the API server's own last ten minutes at least. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use super::ControlPlane;
use super::files::ISSUER;

/// Bytes of each of the two numbers of a signature on the curve P-256.
const NUMBER: usize = 32;

impl ControlPlane {
    /// A token of the ServiceAccount with this uid that ends then, signed as the API server would.
    #[must_use]
    pub fn token(&self, namespace: &str, name: &str, uid: &str, ends: Timestamp) -> String {
        // Those that have ended were issued as well.
        let issued = Timestamp::now().as_second().min(ends.as_second()) - 1;
        let claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "iat": issued, "nbf": issued, "exp": ends.as_second(),
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": uid } },
        });
        let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
        let head = part(&json!({ "alg": "ES256", "typ": "JWT" }).to_string());
        let signed = format!("{head}.{}", part(&claims.to_string()));
        let signature = numbers(&self.accounts.sign(signed.as_bytes()));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The two numbers of a signature side by side, as a token has them, from how ASN.1 has them: a sequence of two
/// integers, each with a length, and a zero before it where its first bit is set.
fn numbers(signature: &[u8]) -> Vec<u8> {
    let mut rest = &signature[2..];
    let mut numbers = Vec::with_capacity(2 * NUMBER);
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let digits = &number[length.saturating_sub(NUMBER)..];
        numbers.extend(std::iter::repeat_n(0, NUMBER - digits.len()));
        numbers.extend_from_slice(digits);
        rest = &rest[2 + length..];
    }
    numbers
}
