//! The certificates of one control plane, made anew at each start. No I/O.
//!
//! In: nothing. Out: an authority, what it signed, and kubeconfigs that trust it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// Vouches for the API server and for its clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Signs the tokens of ServiceAccounts.
pub(crate) struct SigningKey(KeyPair);

impl SigningKey {
    pub(crate) fn generate() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    /// In PEM.
    pub(crate) fn private(&self) -> String {
        self.0.serialize_pem()
    }

    /// In PEM.
    pub(crate) fn public(&self) -> String {
        self.0.public_key_pem()
    }

    /// Its signature, as ASN.1 has it.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        rcgen::SigningKey::sign(&self.0, message).unwrap()
    }
}

impl Authority {
    pub(crate) fn generate() -> Self {
        let mut params = named("coracle-tests-ca", None, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate in PEM.
    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// What a server of these names shows.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        let params = named("kube-apiserver", None, names);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// What a client shows: the user, and the group it is in.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> Pair {
        self.sign(named(user, group, &[]), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A kubeconfig for a server, with a client's certificate.
    pub(crate) fn kubeconfig(&self, server: &str, client: &Pair) -> String {
        let user = json!({
            "client-certificate-data": STANDARD.encode(&client.certificate),
            "client-key-data": STANDARD.encode(&client.key),
        });
        self.kubeconfig_with(server, &user)
    }

    /// A kubeconfig for a server, with these credentials. JSON is YAML too.
    pub(crate) fn kubeconfig_with(&self, server: &str, user: &Value) -> String {
        let authority = STANDARD.encode(self.certificate());
        let name = "control-plane";
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{ "name": name, "cluster": {
                "server": server, "certificate-authority-data": authority,
            }}],
            "users": [{ "name": name, "user": user }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        })
        .to_string()
    }
}

fn named(name: &str, group: Option<&str>, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params
}
