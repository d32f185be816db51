//! Bodies in protobuf, as typed clients send them: `kubectl-bodies.txt` holds what kubectl did send.

#![allow(clippy::unwrap_used, reason = "a request that a test makes wrongly fails it")]

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::{Result, Running, start, status};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Sends a body, as kubectl does.
async fn post(running: &Running, path: &str, body: &[u8]) -> kube::Result<Value> {
    let request = http::Request::post(path)
        .header("content-type", PROTOBUF)
        .header("accept", format!("{PROTOBUF},application/json"))
        .body(body.to_vec())
        .unwrap();
    running.client.request(request).await
}

fn spec(object: &Value, fields: &[&str]) -> Value {
    let fields = fields
        .iter()
        .map(|field| ((*field).to_owned(), object[field].clone()));
    Value::Object(fields.collect())
}

#[tokio::test]
async fn what_kubectl_creates_is_stored_as_it_would_be_from_json() -> Result<()> {
    let running = start().await?;
    let mut created = std::collections::BTreeMap::new();
    for line in include_str!("kubectl-bodies.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let [command, path, body] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().unwrap();
        let body = base64::engine::general_purpose::STANDARD.decode(body)?;
        let object = post(&running, path, &body).await;
        let object = object.map_err(|error| anyhow::anyhow!("{command}: {error}"))?;
        created.insert(command.split(" -n ").next().unwrap_or_default(), object);
    }
    let of = |command: &str, fields: &[&str]| spec(&created[command], fields);
    assert_eq!(
        of(
            "kubectl create secret generic s --from-literal=password=secret",
            &["data", "type"]
        ),
        json!({"data": {"password": "c2VjcmV0"}, "type": "Opaque"})
    );
    assert_eq!(
        of(
            "kubectl create role reader --verb=get,list --resource=pods,deployments.apps",
            &["rules"]
        ),
        json!({"rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
        ]})
    );
    assert_eq!(
        of("kubectl create quota q --hard=pods=5,cpu=2", &["spec"]),
        json!({"spec": {"hard": {"cpu": "2", "pods": "5"}}})
    );
    assert_eq!(
        of(
            "kubectl create ingress ing --rule=shop.example.org/*=web:80,tls=web",
            &["spec"]
        ),
        json!({"spec": {
            "rules": [{"host": "shop.example.org", "http": {"paths": [
                {"backend": {"service": {"name": "web", "port": {"number": 80}}}, "path": "/", "pathType": "Prefix"},
            ]}}],
            "tls": [{"hosts": ["shop.example.org"], "secretName": "web"}],
        }})
    );
    let web = &created["kubectl create deployment web --image=nginx:1 --replicas=2 --port=80"];
    assert_eq!(web["spec"]["replicas"], json!(2));
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["ports"],
        json!([{"containerPort": 80, "protocol": "TCP"}])
    );
    assert_eq!(
        created["kubectl auth can-i create pods"]["status"],
        json!({"allowed": true})
    );
    Ok(())
}

#[tokio::test]
async fn a_token_of_a_service_account_is_accepted_by_the_server() -> Result<()> {
    let running = start().await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let create = |path: String, body: &Value| {
        let body = serde_json::to_vec(body).unwrap();
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body);
        running.client.request::<Value>(request.unwrap())
    };
    create(accounts.into(), &account).await?;
    let short = json!({"spec": {"expirationSeconds": 60}});
    let refused = status(create(format!("{accounts}/robot/token"), &short).await);
    assert_eq!(
        refused.message,
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 60: may not \
         specify a duration less than 10 minutes"
    );
    let issued = create(format!("{accounts}/robot/token"), &json!({})).await?;
    let token = issued["status"]["token"].as_str().unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&running.cluster.kubeconfig())?;
    kubeconfig["users"][0]["user"]["token"] = token.into();
    let robot = crate::support::client_of(&kubeconfig.to_string()).await?;
    robot.list_core_api_versions().await?;
    let request = http::Request::get("/api/v1/namespaces").body(Vec::new())?;
    robot.request::<Value>(request).await?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_protobuf_is_refused_in_the_words_of_upstream() -> Result<()> {
    let running = start().await?;
    let namespaces = "/api/v1/namespaces";
    let refused = status(post(&running, namespaces, b"garbage").await);
    assert_eq!((refused.code, refused.reason.as_str()), (400, "BadRequest"));
    assert_eq!(
        refused.message,
        "the object provided is unrecognized (must be of type Namespace): provided data does not appear to be a \
         protobuf message, expected prefix [107 56 115 0] (67617262616765)"
    );
    let cut = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x05abcde";
    assert_eq!(
        status(post(&running, namespaces, cut).await).message,
        "Namespace in version \"v1\" cannot be handled as a Namespace: unexpected EOF"
    );
    let other = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x00";
    assert_eq!(
        status(post(&running, namespaces, other).await).message,
        "ConfigMap in version \"v1\" cannot be handled as a Namespace: converting (v1.ConfigMap) to \
         (core.Namespace): unknown conversion"
    );
    let unknown = b"k8s\0\n\x0d\n\x02v1\x12\x07Nothing\x12\x00";
    assert_eq!(
        status(post(&running, namespaces, unknown).await).message,
        "Nothing in version \"v1\" cannot be handled as a Namespace: no kind \"Nothing\" is registered for version \
         \"v1\" in scheme \"pkg/runtime/scheme.go:111\""
    );
    Ok(())
}
