//! Upstream's kubectl on the embedded cluster: its typed commands send protobuf, and are not refused for it.

use std::fmt::Write as _;
use std::process::{Command, Output};

use embedded_cluster::{Cluster, Config};
use tests::control_plane;

/// Upstream's kubectl, and a cluster for it.
struct Shell {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Shell {
    async fn start() -> Self {
        let cluster = Cluster::start(Config::default()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), cluster.kubeconfig()).unwrap();
        Self { cluster, home }
    }

    /// Runs it as a person types it, in a thread of its own: the cluster answers in this one.
    async fn kubectl(&self, line: &str) -> Output {
        let mut kubectl = Command::new(control_plane::program());
        kubectl
            .arg("kubectl")
            .arg("--kubeconfig")
            .arg(self.home.path().join("config"))
            .arg("--cache-dir")
            .arg(self.home.path().join("cache"))
            // Words are parted by spaces, and a tilde is a space within a word.
            .args(line.split(' ').map(|word| word.replace('~', " ")));
        tokio::task::spawn_blocking(move || kubectl.output().unwrap())
            .await
            .unwrap()
    }

    /// What a session of these lines looks like.
    async fn session(&self, lines: &[&str]) -> String {
        let mut out = String::new();
        for line in lines {
            let output = self.kubectl(line).await;
            writeln!(out, "$ kubectl {line}").unwrap();
            out.push_str(&String::from_utf8_lossy(&output.stdout));
            out.push_str(&String::from_utf8_lossy(&output.stderr));
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
        out
    }
}

#[tokio::test]
async fn typed_commands_create_what_they_say() {
    let shell = Shell::start().await;
    let session = shell
        .session(&[
            "create namespace shop",
            "create namespace dry --dry-run=server",
            "get namespace dry",
            "config set-context --current --namespace=shop",
            "create secret generic login --from-literal=password=secret",
            "create secret docker-registry registry --docker-username=u --docker-password=p",
            "create configmap settings --from-literal=colour=blue",
            "create serviceaccount robot",
            "create role reader --verb=get,list --resource=pods,deployments.apps",
            "create rolebinding readers --role=reader --serviceaccount=shop:robot",
            "create clusterrole health --verb=get --non-resource-url=/healthz",
            "create clusterrolebinding robots --clusterrole=cluster-admin --serviceaccount=shop:robot",
            "create deployment web --image=nginx:1 --replicas=2 --port=80",
            "create job once --image=busybox:1 -- echo hi",
            "create cronjob often --image=busybox:1 --schedule=*/5~*~*~*~* -- echo hi",
            "create job again --from=cronjob/often",
            "create quota small --hard=pods=5,cpu=2",
            "create priorityclass high --value=1000 --description=high",
            "create poddisruptionbudget web --selector=app=web --min-available=1",
            "create ingress web --rule=shop.example.org/*=web:80,tls=web",
            "create service clusterip web --tcp=80:8080",
            "create service nodeport outside --tcp=80:8080",
            "create service externalname elsewhere --external-name=example.org",
            "auth can-i create deployments",
            "get secret login -o jsonpath={.data}{.type}",
            "get role reader -o jsonpath={.rules}",
            "get cronjob often -o jsonpath={.spec.schedule}",
            "get quota small -o jsonpath={.spec.hard}",
            "get ingress web -o jsonpath={.spec.rules[0].http.paths}",
            "get service web -o jsonpath={.spec.ports}",
        ])
        .await;
    insta::assert_snapshot!(session, @r#"
    $ kubectl create namespace shop
    namespace/shop created
    $ kubectl create namespace dry --dry-run=server
    namespace/dry created (server dry run)
    $ kubectl get namespace dry
    Error from server (NotFound): namespaces "dry" not found
    $ kubectl config set-context --current --namespace=shop
    Context "embedded" modified.
    $ kubectl create secret generic login --from-literal=password=secret
    secret/login created
    $ kubectl create secret docker-registry registry --docker-username=u --docker-password=p
    secret/registry created
    $ kubectl create configmap settings --from-literal=colour=blue
    configmap/settings created
    $ kubectl create serviceaccount robot
    serviceaccount/robot created
    $ kubectl create role reader --verb=get,list --resource=pods,deployments.apps
    role.rbac.authorization.k8s.io/reader created
    $ kubectl create rolebinding readers --role=reader --serviceaccount=shop:robot
    rolebinding.rbac.authorization.k8s.io/readers created
    $ kubectl create clusterrole health --verb=get --non-resource-url=/healthz
    clusterrole.rbac.authorization.k8s.io/health created
    $ kubectl create clusterrolebinding robots --clusterrole=cluster-admin --serviceaccount=shop:robot
    clusterrolebinding.rbac.authorization.k8s.io/robots created
    $ kubectl create deployment web --image=nginx:1 --replicas=2 --port=80
    deployment.apps/web created
    $ kubectl create job once --image=busybox:1 -- echo hi
    job.batch/once created
    $ kubectl create cronjob often --image=busybox:1 --schedule=*/5~*~*~*~* -- echo hi
    cronjob.batch/often created
    $ kubectl create job again --from=cronjob/often
    job.batch/again created
    $ kubectl create quota small --hard=pods=5,cpu=2
    resourcequota/small created
    $ kubectl create priorityclass high --value=1000 --description=high
    priorityclass.scheduling.k8s.io/high created
    $ kubectl create poddisruptionbudget web --selector=app=web --min-available=1
    poddisruptionbudget.policy/web created
    $ kubectl create ingress web --rule=shop.example.org/*=web:80,tls=web
    ingress.networking.k8s.io/web created
    $ kubectl create service clusterip web --tcp=80:8080
    service/web created
    $ kubectl create service nodeport outside --tcp=80:8080
    service/outside created
    $ kubectl create service externalname elsewhere --external-name=example.org
    service/elsewhere created
    $ kubectl auth can-i create deployments
    yes
    $ kubectl get secret login -o jsonpath={.data}{.type}
    {"password":"c2VjcmV0"}Opaque
    $ kubectl get role reader -o jsonpath={.rules}
    [{"apiGroups":[""],"resources":["pods"],"verbs":["get","list"]},{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get","list"]}]
    $ kubectl get cronjob often -o jsonpath={.spec.schedule}
    */5 * * * *
    $ kubectl get quota small -o jsonpath={.spec.hard}
    {"cpu":"2","pods":"5"}
    $ kubectl get ingress web -o jsonpath={.spec.rules[0].http.paths}
    [{"backend":{"service":{"name":"web","port":{"number":80}}},"path":"/","pathType":"Prefix"}]
    $ kubectl get service web -o jsonpath={.spec.ports}
    [{"name":"80-8080","port":80,"protocol":"TCP","targetPort":8080}]
    "#);
}

#[tokio::test]
async fn a_deployment_is_rolled_out_scaled_and_drained() {
    let shell = Shell::start().await;
    let session = shell
        .session(&[
            "create deployment web --image=nginx:1 --replicas=2",
            "wait --for=condition=Available deployment/web --timeout=60s",
            "scale deployment web --replicas=1",
            "set image deployment/web nginx=nginx:2",
            "rollout history deployment web",
            "rollout undo deployment web",
            "rollout restart deployment web",
            "rollout pause deployment web",
            "rollout resume deployment web",
            "autoscale deployment web --min=1 --max=3",
            "expose deployment web --port=80",
            "cordon embedded-node",
            "uncordon embedded-node",
            "taint node embedded-node disk=slow:NoSchedule",
        ])
        .await;
    insta::assert_snapshot!(session, @r"
    $ kubectl create deployment web --image=nginx:1 --replicas=2
    deployment.apps/web created
    $ kubectl wait --for=condition=Available deployment/web --timeout=60s
    deployment.apps/web condition met
    $ kubectl scale deployment web --replicas=1
    deployment.apps/web scaled
    $ kubectl set image deployment/web nginx=nginx:2
    deployment.apps/web image updated
    $ kubectl rollout history deployment web
    deployment.apps/web 
    REVISION  CHANGE-CAUSE
    1         <none>
    2         <none>

    $ kubectl rollout undo deployment web
    deployment.apps/web rolled back
    $ kubectl rollout restart deployment web
    deployment.apps/web restarted
    $ kubectl rollout pause deployment web
    deployment.apps/web paused
    $ kubectl rollout resume deployment web
    deployment.apps/web resumed
    $ kubectl autoscale deployment web --min=1 --max=3
    horizontalpodautoscaler.autoscaling/web autoscaled
    $ kubectl expose deployment web --port=80
    service/web exposed
    $ kubectl cordon embedded-node
    node/embedded-node cordoned
    $ kubectl uncordon embedded-node
    node/embedded-node uncordoned
    $ kubectl taint node embedded-node disk=slow:NoSchedule
    node/embedded-node tainted
    ");
    let drained = shell
        .kubectl("drain embedded-node --ignore-daemonsets --timeout=60s")
        .await;
    assert!(drained.status.success(), "{drained:?}");
}

#[tokio::test]
async fn a_token_is_issued_and_works() {
    let shell = Shell::start().await;
    assert!(
        shell
            .kubectl("create serviceaccount robot")
            .await
            .status
            .success()
    );
    let issued = shell.kubectl("create token robot").await;
    assert!(issued.status.success(), "{issued:?}");
    let token = String::from_utf8(issued.stdout).unwrap();
    let admin = shell.cluster.token();
    let kubeconfig = shell.cluster.kubeconfig().replace(admin, token.trim());
    std::fs::write(shell.home.path().join("config"), kubeconfig).unwrap();
    let session = shell.session(&["get serviceaccounts -o name"]).await;
    insta::assert_snapshot!(session, @r"
    $ kubectl get serviceaccounts -o name
    serviceaccount/default
    serviceaccount/robot
    ");
    let forged = shell
        .cluster
        .kubeconfig()
        .replace(admin, &token.trim()[..token.len() - 4]);
    std::fs::write(shell.home.path().join("config"), forged).unwrap();
    assert!(!shell.kubectl("get serviceaccounts").await.status.success());
}

#[tokio::test]
async fn what_only_a_container_could_do_is_refused_with_the_reason() {
    let shell = Shell::start().await;
    let session = shell
        .session(&[
            "run web --image=nginx:1",
            "wait --for=condition=Ready pod/web --timeout=60s",
            "exec web -- ls",
            "port-forward web 8080:80",
            "logs web",
        ])
        .await;
    insta::assert_snapshot!(session, @r#"
    $ kubectl run web --image=nginx:1
    pod/web created
    $ kubectl wait --for=condition=Ready pod/web --timeout=60s
    pod/web condition met
    $ kubectl exec web -- ls
    error: unable to upgrade connection: cannot serve pods/exec of "web": the embedded cluster plays pods and starts no containers, so that there is nothing to run a command in
    $ kubectl port-forward web 8080:80
    error: error upgrading connection: unable to upgrade connection: cannot serve pods/portforward of "web": the embedded cluster plays pods and starts no containers, so that there is nothing to connect to
    $ kubectl logs web
    started
    "#);
}
