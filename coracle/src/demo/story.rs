//! The story: what happens to an application in its life, done for real and checked. Does I/O through the stage.
//!
//! Each step changes something as a person would, waits until the cluster followed, and tells what it saw.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt as _};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::objects::{Summary, short_revisions};

use super::edits;
use super::repository::{Repository, RepositoryError};
use super::stage::{DemoError, ENVIRONMENTS};
use super::teller::Teller;
use super::world::World;

const DEPLOYMENT: &str = "apps/v1/Deployment";
const STAGING: &str = "apps/shop/overlays/staging/kustomization.yaml";
const SETTINGS: &str = "apps/shop/overlays/staging/settings.json";
const FEATURE: &str = "featureSearch";
const BASE: &str = "apps/shop/base/kustomization.yaml";
const POLICY_FILE: &str = "network-policy.yaml";
/// How long the events of a run may come after its status.
const EVENTS_LATE: Duration = Duration::from_secs(2);

/// What the story is told with: a cluster that a controller keeps in step, and the work tree of its repository.
pub struct Props<'a> {
    /// The cluster.
    pub world: &'a World,
    /// The work tree that commits are made in.
    pub work: &'a Repository,
}

/// Looks whether the project's files are such that the story can be told with them, whatever else was changed in them.
///
/// # Errors
/// One of them is not: the error names the file and what has to be in it.
pub fn check(project: &Path) -> Result<(), DemoError> {
    let files = Repository::at(project);
    turned(&files)?;
    without_policy(&files)?;
    files
        .read(STAGING)
        .map(drop)
        .map_err(missing(STAGING, "a kustomization"))
}

fn missing(file: &'static str, what: &'static str) -> impl Fn(RepositoryError) -> DemoError {
    move |_| DemoError::Needs { file, what }
}

/// The settings of staging with the search turned on, or off.
fn turned(files: &Repository) -> Result<String, DemoError> {
    let needs = "a JSON object with the settings, such as {\"featureSearch\": false},";
    let settings = files.read(SETTINGS).map_err(missing(SETTINGS, needs))?;
    edits::flip(&settings, FEATURE).ok_or(DemoError::Needs {
        file: SETTINGS,
        what: needs,
    })
}

/// The base without its network policy.
fn without_policy(files: &Repository) -> Result<String, DemoError> {
    let needs = "the resource `- network-policy.yaml`, a NetworkPolicy `web`,";
    let base = files.read(BASE).map_err(missing(BASE, needs))?;
    let policy = format!("apps/shop/base/{POLICY_FILE}");
    files.read(&policy).map_err(missing(BASE, needs))?;
    edits::without(&base, POLICY_FILE).ok_or(DemoError::Needs {
        file: BASE,
        what: needs,
    })
}

/// Tells the whole story.
///
/// # Errors
/// Something did not happen as it is told.
pub async fn tell(stage: &Props<'_>, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    environments_come_up(stage, teller).await?;
    a_merge_goes_live(stage, teller).await?;
    an_edit_by_hand_is_put_back(stage, teller).await?;
    a_broken_image_is_explained(stage, teller).await?;
    a_revert_brings_it_back(stage, teller).await?;
    a_removed_file_removes_its_objects(stage, teller).await
}

async fn environments_come_up(stage: &Props<'_>, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    teller.chapter(
        "the environments come up",
        "The cluster is pointed at clusters/demo on the branch main. The environments come up.",
    )?;
    let started = Instant::now();
    let mut coming: FuturesUnordered<_> = ENVIRONMENTS
        .map(|environment| async move {
            let name = format!("shop-{environment}");
            let ready = stage
                .world
                .until_kustomization(&name, &format!("{name} to be ready"), ready)
                .await?;
            Ok::<_, DemoError>((environment, ready))
        })
        .into_iter()
        .collect();
    while let Some(up) = coming.next().await {
        let (environment, state) = up?;
        let web = deployment(stage, environment, "web").await?;
        let (running, wanted) = (
            number(&web, "/status/readyReplicas"),
            number(&web, "/spec/replicas"),
        );
        if running != wanted {
            return Err(untrue(format!(
                "{environment} is said to be ready with {running} of {wanted} web pods"
            )));
        }
        let objects = state
            .object
            .pointer("/status/inventory/entries")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        teller.tell(format_args!(
            "   {environment} is up: {objects} objects, {running} of {wanted} web pods"
        ))?;
    }
    teller.good(format!("4 environments after {}", millis(started)))?;
    Ok(())
}

async fn a_merge_goes_live(stage: &Props<'_>, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    teller.chapter(
        "a merge goes live",
        "Somebody merges `Turn the search on or off` to the branch staging.",
    )?;
    let work = stage.work;
    work.checkout("staging").await?;
    work.branch("search").await?;
    work.write(SETTINGS, &turned(work)?)?;
    work.commit("Turn the search on or off").await?;
    work.checkout("staging").await?;
    let commit = work.merge("search", "Merge branch 'search' into staging").await?;
    let settings_before = settings_of(&deployment(stage, "staging", "web").await?);
    let seen = last_event(stage, "shop-staging").await?;

    let pushed = push(stage, "staging").await?;
    let applied = async {
        stage
            .world
            .until(
                DEPLOYMENT,
                "shop-staging",
                "web",
                "the new settings to be applied",
                |web| (settings_of(web?) != settings_before).then(|| pushed.elapsed()),
            )
            .await
    };
    let healthy = live(stage, "staging", &commit);
    let (applied, healthy) = tokio::join!(applied, healthy);
    let (applied, _) = (applied?, healthy?);
    let live_after = pushed.elapsed();
    tell_changes(stage, teller, "shop-staging", seen).await?;
    teller.good(format!(
        "applied {} ms after the push, healthy after {} ms",
        applied.as_millis(),
        live_after.as_millis()
    ))?;
    Ok(())
}

async fn an_edit_by_hand_is_put_back(stage: &Props<'_>, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    let before = number(&deployment(stage, "staging", "web").await?, "/spec/replicas");
    let more = before + 3;
    teller.chapter(
        "an edit by hand is put back",
        format!("Somebody scales the front end of staging to {more} by hand."),
    )?;
    let seen = last_event(stage, "shop-staging").await?;
    let edited = Instant::now();
    let generation = stage
        .world
        .edit(
            DEPLOYMENT,
            "shop-staging",
            "web",
            &json!({ "spec": { "replicas": more } }),
        )
        .await?;
    let after = stage
        .world
        .until(
            DEPLOYMENT,
            "shop-staging",
            "web",
            "the edit to be put back",
            |web| {
                let web = web?;
                let is_back = number(web, "/spec/replicas") == before && web.metadata.generation > generation;
                is_back.then(|| edited.elapsed())
            },
        )
        .await?;
    tell_changes(stage, teller, "shop-staging", seen).await?;
    teller.good(format!("{before} replicas again after {} ms", after.as_millis()))?;
    Ok(())
}

async fn a_broken_image_is_explained(stage: &Props<'_>, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    teller.chapter(
        "a broken image is explained",
        "Somebody commits an image to staging that does not exist.",
    )?;
    let production = deployment(stage, "production", "web").await?;
    let image = image_of(&deployment(stage, "staging", "web").await?)
        .ok_or_else(|| untrue("the front end has no image".to_owned()))?;
    let overlay = stage.work.read(STAGING)?;
    stage
        .work
        .write(STAGING, &edits::with_tag(&overlay, &image, "does-not-exist"))?;
    let commit = stage.work.commit("Take the newest front end").await?;
    let seen = last_event(stage, "shop-staging").await?;
    let pushed = push(stage, "staging").await?;
    let failed = stage
        .world
        .until_kustomization("shop-staging", "the broken image to be noticed", |state| {
            let tried = state
                .object
                .pointer("/status/lastAttemptedRevision")
                .and_then(Value::as_str);
            let failed = state.ready == "False" && tried.is_some_and(|revision| revision.ends_with(&commit));
            failed.then(|| state.clone())
        })
        .await?;
    let noticed = pushed.elapsed();
    tell_changes(stage, teller, "shop-staging", seen).await?;
    teller.detail(format!("{}: {}", failed.reason, short_revisions(&failed.message)))?;
    for expected in ["web", "does-not-exist"] {
        if !failed.message.contains(expected) {
            return Err(untrue(format!(
                "the failure does not name `{expected}`: {}",
                failed.message
            )));
        }
    }
    let serving = number(
        &deployment(stage, "staging", "web").await?,
        "/status/readyReplicas",
    );
    teller.detail(format!("the {serving} pods of the last good version serve on"))?;
    let untouched = deployment(stage, "production", "web").await?;
    if untouched.metadata.resource_version != production.metadata.resource_version || serving == 0 {
        return Err(untrue("production changed, or staging serves no more".to_owned()));
    }
    teller.good(format!(
        "failed with its reason after {} ms, production untouched",
        noticed.as_millis()
    ))?;
    Ok(())
}

async fn a_revert_brings_it_back(stage: &Props<'_>, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    teller.chapter("a revert takes it back", "`git revert` on staging.")?;
    let commit = stage.work.revert().await?;
    let seen = last_event(stage, "shop-staging").await?;
    let pushed = push(stage, "staging").await?;
    live(stage, "staging", &commit).await?;
    let after = pushed.elapsed();
    tell_changes(stage, teller, "shop-staging", seen).await?;
    teller.good(format!("healthy again {} ms after the push", after.as_millis()))?;
    Ok(())
}

async fn a_removed_file_removes_its_objects(
    stage: &Props<'_>,
    teller: &mut Teller<'_>,
) -> Result<(), DemoError> {
    const POLICY: &str = "networking.k8s.io/v1/NetworkPolicy";
    teller.chapter(
        "a removed file removes its objects",
        "Somebody removes network-policy.yaml on the branch dev.",
    )?;
    let work = stage.work;
    work.checkout("dev").await?;
    work.write(BASE, &without_policy(work)?)?;
    work.remove(&format!("apps/shop/base/{POLICY_FILE}"))?;
    let commit = work.commit("Let everything talk to everything").await?;
    let seen = last_event(stage, "shop-dev").await?;
    let pushed = push(stage, "dev").await?;
    live(stage, "dev", &commit).await?;
    stage
        .world
        .until(POLICY, "shop-dev", "web", "the policy to be gone", |policy| {
            policy.is_none().then_some(())
        })
        .await?;
    let after = pushed.elapsed();
    tell_changes(stage, teller, "shop-dev", seen).await?;
    if stage.world.get(POLICY, "shop-staging", "web").await?.is_none() {
        return Err(untrue("the policy of staging is gone as well".to_owned()));
    }
    teller.good(format!(
        "gone {} ms after the push, staging keeps its own",
        after.as_millis()
    ))?;
    Ok(())
}

/// Pushes a branch and asks for it at once, as a webhook would; the time counts from there.
async fn push(stage: &Props<'_>, environment: &str) -> Result<Instant, DemoError> {
    stage.work.push(environment).await?;
    let pushed = Instant::now();
    stage.world.poke(&format!("shop-{environment}")).await?;
    Ok(pushed)
}

/// Waits until a commit is applied and healthy.
async fn live(stage: &Props<'_>, environment: &str, commit: &str) -> Result<Summary, DemoError> {
    let name = format!("shop-{environment}");
    let what = format!("{name} to be ready at {}", &commit[..8.min(commit.len())]);
    let state = stage
        .world
        .until_kustomization(&name, &what, |state| {
            ready(state).filter(|state| state.revision.ends_with(commit))
        })
        .await?;
    Ok(state)
}

fn ready(state: &Summary) -> Option<Summary> {
    let status = &state.object["status"];
    let observed = status["observedGeneration"] == state.object["metadata"]["generation"];
    (state.ready == "True" && observed).then(|| state.clone())
}

async fn deployment(stage: &Props<'_>, environment: &str, name: &str) -> Result<DynamicObject, DemoError> {
    let namespace = format!("shop-{environment}");
    stage
        .world
        .get(DEPLOYMENT, &namespace, name)
        .await?
        .ok_or_else(|| untrue(format!("there is no Deployment {namespace}/{name}")))
}

async fn last_event(stage: &Props<'_>, about: &str) -> Result<u64, DemoError> {
    Ok(stage
        .world
        .events(about)
        .await?
        .last()
        .map_or(0, |event| event.version))
}

/// Tells what the controller's event says that changed.
async fn tell_changes(
    stage: &Props<'_>,
    teller: &mut Teller<'_>,
    about: &str,
    after: u64,
) -> Result<(), DemoError> {
    let deadline = Instant::now() + EVENTS_LATE;
    loop {
        let events = stage.world.events(about).await?;
        let changes: Vec<&str> = events
            .iter()
            .filter(|event| event.version > after)
            .flat_map(|event| event.message.lines())
            .filter(|line| {
                [" created", " configured", " deleted"]
                    .iter()
                    .any(|action| line.ends_with(action))
            })
            .collect();
        if !changes.is_empty() {
            teller.detail(changes.join("\n"))?;
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(untrue(format!("no event of {about} says what changed")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Name of the ConfigMap with the settings that a Deployment mounts; it carries a hash of their content.
fn settings_of(web: &DynamicObject) -> Option<String> {
    let volumes = web.data.pointer("/spec/template/spec/volumes")?.as_array()?;
    volumes.iter().find(|volume| volume["name"] == "settings")?["configMap"]["name"]
        .as_str()
        .map(str::to_owned)
}

/// The image of a Deployment's first container, without its tag.
fn image_of(web: &DynamicObject) -> Option<String> {
    let image = web
        .data
        .pointer("/spec/template/spec/containers/0/image")?
        .as_str()?;
    let image = image.split('@').next().unwrap_or(image);
    // A port has a slash after it.
    let tag = image.rfind(':').filter(|colon| !image[*colon..].contains('/'));
    Some(image[..tag.unwrap_or(image.len())].to_owned())
}

fn number(object: &DynamicObject, path: &str) -> i64 {
    object.data.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

fn millis(since: Instant) -> String {
    format!("{} ms", since.elapsed().as_millis())
}

fn untrue(message: String) -> DemoError {
    DemoError::Untrue(message)
}
