//! Files by HTTP. In: a URL; out: its text. Does I/O.

use std::time::Duration;

use kustomize_rs::Error;

use super::without_credentials;

/// Gets a file, within limits of time and size.
pub(super) fn get(url: &str, timeout: Duration, max_size: u64) -> Result<Vec<u8>, Error> {
    let failed = |e: ureq::Error| Error::remote(format!("{}: {e}", without_credentials(url)));
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .build();
    let mut response = ureq::Agent::from(config).get(url).call().map_err(failed)?;
    response
        .body_mut()
        .with_config()
        .limit(max_size)
        .read_to_vec()
        .map_err(failed)
}
