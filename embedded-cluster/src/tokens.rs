//! The tokens that the server accepts: its own, and those it issued for ServiceAccounts.
//!
//! In: a secret, claims, the time. Out: JSON Web Tokens (HS256), and whether one is its own. No I/O.
//!
//! There is no authorization, so that a ServiceAccount may do what anybody may.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The length that HMAC brings its key to.
const BLOCK: usize = 64;

/// Issues tokens and recognises them.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The administrator's token, which signs the others.
    secret: String,
}

impl Tokens {
    pub(crate) fn new(secret: String) -> Self {
        Self { secret }
    }

    /// The administrator's.
    pub(crate) fn admin(&self) -> &str {
        &self.secret
    }

    /// A token that makes these claims.
    pub(crate) fn issue(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "HS256", "typ": "JWT"})),
            part(claims)
        );
        format!("{signed}.{}", self.signature(&signed))
    }

    /// Whether the token is the administrator's, or was issued here and has not expired by now (seconds since 1970).
    pub(crate) fn accepts(&self, token: &str, now: i64) -> bool {
        if token == self.secret {
            return true;
        }
        let Some((signed, signature)) = token.rsplit_once('.') else {
            return false;
        };
        signature == self.signature(signed) && expiry(signed).is_some_and(|expiry| now < expiry)
    }

    fn signature(&self, text: &str) -> String {
        let mut key = [0_u8; BLOCK];
        for (place, byte) in key.iter_mut().zip(self.secret.bytes()) {
            *place = byte;
        }
        let inner = Sha256::new()
            .chain_update(key.map(|byte| byte ^ 0x36))
            .chain_update(text);
        let outer = Sha256::new()
            .chain_update(key.map(|byte| byte ^ 0x5c))
            .chain_update(inner.finalize());
        URL_SAFE_NO_PAD.encode(outer.finalize())
    }
}

fn expiry(signed: &str) -> Option<i64> {
    let (_, claims) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims.get("exp")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_signed_as_any_library_for_json_web_tokens_does() {
        // By `openssl dgst -sha256 -hmac secret`.
        let tokens = Tokens::new("secret".into());
        assert_eq!(
            tokens.signature("eyJhbGciOiJIUzI1NiJ9.e30"),
            "XmNK3GpH3Ys_7wsYBfq4C3M6goz71I7dTgUkuIa5lyQ"
        );
    }

    #[test]
    fn only_what_was_issued_here_and_has_not_expired_is_accepted() {
        let tokens = Tokens::new("secret".into());
        let token = tokens.issue(&json!({"sub": "robot", "exp": 100}));
        assert!(tokens.accepts(&token, 99));
        assert!(!tokens.accepts(&token, 100));
        assert!(!Tokens::new("other".into()).accepts(&token, 99));
        let forged = token.replacen(&token[..4], "eyJX", 1);
        assert!(!tokens.accepts(&forged, 99));
        assert!(tokens.accepts("secret", 99));
        assert!(!tokens.accepts("", 99));
    }
}
