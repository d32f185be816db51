//! Which commit an object asks for: the kinds of references, their precedence, and the choice among what a
//! server lists. Pure.

use std::fmt;

use super::SourceError;
use super::object_id::ObjectId;
use super::version_range::VersionRange;

/// What `spec.ref` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The tip of a branch.
    Branch(String),
    /// A tag, annotated or not.
    Tag(String),
    /// The highest tag within a range of versions.
    Semver(VersionRange),
    /// A full reference name such as `refs/pull/1/head`.
    Name(String),
    /// A commit.
    Commit {
        /// The commit.
        id: ObjectId,
        /// The branch that the revision is to name, and where the commit is looked for if the server does not
        /// give out single commits.
        branch: Option<String>,
    },
}

/// The fields of `spec.ref` as they stand in an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReferenceFields {
    /// `spec.ref.branch`
    pub branch: Option<String>,
    /// `spec.ref.tag`
    pub tag: Option<String>,
    /// `spec.ref.semver`
    pub semver: Option<String>,
    /// `spec.ref.name`
    pub name: Option<String>,
    /// `spec.ref.commit`
    pub commit: Option<String>,
}

/// Flux's default when nothing is asked for.
const DEFAULT_BRANCH: &str = "master";

impl TryFrom<ReferenceFields> for Reference {
    type Error = SourceError;

    /// Applies Flux's precedence: commit, name, semver, tag, branch; nothing means the branch `master`. An
    /// empty field counts as absent.
    fn try_from(fields: ReferenceFields) -> Result<Self, SourceError> {
        let given = |field: Option<String>| field.filter(|text| !text.is_empty());
        let branch = given(fields.branch);
        if let Some(commit) = given(fields.commit) {
            let id = commit.parse().map_err(|()| {
                invalid(format!(
                    "spec.ref.commit '{commit}' is not a commit, expected 40 hexadecimal digits"
                ))
            })?;
            if let Some(branch) = &branch {
                check_name("branch", branch)?;
            }
            return Ok(Self::Commit { id, branch });
        }
        if let Some(name) = given(fields.name) {
            check_name("name", name.trim_end_matches(PEELED_SUFFIX))?;
            return Ok(Self::Name(name));
        }
        if let Some(range) = given(fields.semver) {
            return range.parse().map(Self::Semver).map_err(|error| {
                invalid(format!(
                    "spec.ref.semver '{range}' is not a range of versions: {error}"
                ))
            });
        }
        if let Some(tag) = given(fields.tag) {
            check_name("tag", &tag)?;
            return Ok(Self::Tag(tag));
        }
        let branch = branch.unwrap_or_else(|| DEFAULT_BRANCH.to_owned());
        check_name("branch", &branch)?;
        Ok(Self::Branch(branch))
    }
}

const PEELED_SUFFIX: &str = "^{}";

fn invalid(problem: String) -> SourceError {
    SourceError::ReferenceInvalid { problem }
}

/// The rules of git-check-ref-format that matter for what is sent to a server.
fn check_name(field: &str, name: &str) -> Result<(), SourceError> {
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let problem = if name.starts_with('/') || name.ends_with('/') || name.contains("//") {
        "it begins or ends with '/' or has an empty part"
    } else if name.contains("..") || name.contains("@{") || name.ends_with('.') || name.ends_with(".lock") {
        "Git allows no '..', '@{', final '.' or '.lock' in it"
    } else if name.contains(forbidden) {
        "Git allows no space, control character or any of ~^:?*[\\ in it"
    } else {
        return Ok(());
    };
    Err(invalid(format!(
        "spec.ref.{field} '{}': {problem}",
        name.escape_debug()
    )))
}

/// One reference as a server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteRef {
    pub(super) name: String,
    pub(super) id: ObjectId,
    /// What an annotated tag stands for.
    pub(super) peeled: Option<ObjectId>,
}

impl RemoteRef {
    fn commit(&self) -> ObjectId {
        self.peeled.unwrap_or(self.id)
    }
}

/// A fetched state of a repository, in Flux's notation: `main@sha1:…`, `v1.2.0@sha1:…`, `refs/…@sha1:…`, or
/// `sha1:…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    pointer: Option<String>,
    commit: ObjectId,
}

impl Revision {
    /// The commit.
    pub fn commit(&self) -> ObjectId {
        self.commit
    }

    /// What led to the commit: the branch, the tag or the full reference name.
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pointer) = &self.pointer {
            write!(f, "{pointer}@")?;
        }
        write!(f, "sha1:{}", self.commit)
    }
}

/// What to ask a server for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) revision: Revision,
    /// The object that the server advertises: the commit, or the annotated tag on it.
    pub(super) want: ObjectId,
}

impl Reference {
    /// The beginnings of the reference names that answer this reference; `None` if no list is needed.
    pub(super) fn prefixes(&self) -> Option<Vec<String>> {
        Some(vec![match self {
            Self::Branch(branch) => format!("{HEADS}{branch}"),
            Self::Tag(tag) => format!("{TAGS}{tag}"),
            Self::Semver(_) => TAGS.to_owned(),
            Self::Name(name) => name.trim_end_matches(PEELED_SUFFIX).to_owned(),
            Self::Commit { .. } => return None,
        }])
    }

    /// Picks the commit among the references of a server; `None` if it is not there.
    pub(super) fn select(&self, refs: &[RemoteRef]) -> Option<Target> {
        let exact = |name: &str| refs.iter().find(|candidate| candidate.name == name);
        let (found, pointer) = match self {
            Self::Branch(branch) => (exact(&format!("{HEADS}{branch}"))?, branch.clone()),
            Self::Tag(tag) => (exact(&format!("{TAGS}{tag}"))?, tag.clone()),
            Self::Name(name) => (exact(name.trim_end_matches(PEELED_SUFFIX))?, name.clone()),
            Self::Semver(range) => {
                let (found, tag) = highest(range, refs)?;
                (found, tag.to_owned())
            }
            Self::Commit { id, branch } => {
                let revision = Revision {
                    pointer: branch.clone(),
                    commit: *id,
                };
                return Some(Target { revision, want: *id });
            }
        };
        let revision = Revision {
            pointer: Some(pointer),
            commit: found.commit(),
        };
        Some(Target {
            revision,
            want: found.id,
        })
    }

    /// The error for a reference that is not there, naming what is.
    pub(super) fn not_found(&self, url: &str, alternatives: &[RemoteRef]) -> SourceError {
        let what = match self {
            Self::Branch(branch) => format!("no branch '{branch}'"),
            Self::Tag(tag) => format!("no tag '{tag}'"),
            Self::Semver(range) => format!("no tag matches the range '{range}'"),
            Self::Name(name) => format!("no reference '{name}'"),
            Self::Commit { id, branch: None } => format!("no commit {id}"),
            Self::Commit {
                id,
                branch: Some(branch),
            } => format!("no commit {id} on branch '{branch}'"),
        };
        SourceError::ReferenceNotFound {
            url: url.to_owned(),
            what,
            hint: self.hint(alternatives),
        }
    }

    fn hint(&self, alternatives: &[RemoteRef]) -> String {
        let below = |prefix: &str| -> Vec<&str> {
            alternatives
                .iter()
                .filter_map(|found| found.name.strip_prefix(prefix))
                .collect()
        };
        let names = match self {
            Self::Branch(_) | Self::Commit { .. } => below(HEADS),
            Self::Tag(_) | Self::Semver(_) => below(TAGS),
            Self::Name(_) => below(""),
        };
        match self {
            Self::Commit { .. } => {
                "; it may have been removed by a forced push, or the server does not give out single commits"
                    .to_owned()
            }
            Self::Semver(_) if names.is_empty() => "; there are no tags".to_owned(),
            Self::Semver(_) => match newest(&names) {
                Some(newest) => format!("; the highest version among {} tags is '{newest}'", names.len()),
                None => format!("; none of {} tags is a version like v1.2.3", names.len()),
            },
            Self::Branch(wanted) | Self::Tag(wanted) | Self::Name(wanted) => similar(wanted, &names),
        }
    }
}

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// A tag as a version: strict semantic versioning with an optional leading `v`, as Flux reads it.
fn version(tag: &str) -> Option<semver::Version> {
    semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// The tag of the highest version in the range. Among versions that differ by build metadata only, Flux takes
/// the one committed last, which a list of references does not tell: the highest metadata is taken instead.
fn highest<'a>(range: &VersionRange, refs: &'a [RemoteRef]) -> Option<(&'a RemoteRef, &'a str)> {
    refs.iter()
        .filter_map(|found| {
            let tag = found.name.strip_prefix(TAGS)?;
            let version = version(tag).filter(|version| range.contains(version))?;
            Some((version, found, tag))
        })
        .max_by(|(a, _, _), (b, _, _)| a.cmp(b))
        .map(|(_, found, tag)| (found, tag))
}

fn newest<'a>(tags: &[&'a str]) -> Option<&'a str> {
    tags.iter()
        .filter_map(|tag| Some((version(tag)?, *tag)))
        .max_by(|(a, _), (b, _)| a.cmp(b))
        .map(|(_, tag)| tag)
}

/// Names at most three that are near the wanted one, or the first few if none is.
fn similar(wanted: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return "; there is none at all".to_owned();
    }
    let mut near: Vec<(usize, &str)> = names
        .iter()
        .map(|name| (distance(wanted, name), *name))
        .filter(|(distance, name)| {
            *distance <= wanted.len().max(name.len()) / 3 || name.contains(wanted) || wanted.contains(name)
        })
        .collect();
    near.sort_unstable();
    let quoted = |names: &mut dyn Iterator<Item = &str>| {
        names
            .map(|name| format!("'{name}'"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if near.is_empty() {
        let shown = quoted(&mut names.iter().copied().take(5));
        let more = names.len().saturating_sub(5);
        return match more {
            0 => format!("; there are {shown}"),
            more => format!("; there are {shown} and {more} more"),
        };
    }
    format!(
        "; did you mean {}?",
        quoted(&mut near.into_iter().take(3).map(|(_, name)| name))
    )
}

/// The Levenshtein distance of two names, each cut at 100 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(100).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Vec<RemoteRef> {
        names
            .iter()
            .enumerate()
            .map(|(n, name)| RemoteRef {
                name: (*name).to_owned(),
                id: ObjectId::from_bytes([n as u8 + 1; 20]),
                peeled: None,
            })
            .collect()
    }

    fn commit(n: u8) -> String {
        format!("{n:02x}").repeat(20)
    }

    fn fields(set: impl FnOnce(&mut ReferenceFields)) -> Result<Reference, SourceError> {
        let mut fields = ReferenceFields::default();
        set(&mut fields);
        fields.try_into()
    }

    #[test]
    fn precedence_is_commit_name_semver_tag_branch() {
        let mut all = ReferenceFields {
            branch: Some("b".to_owned()),
            tag: Some("t".to_owned()),
            semver: Some(">=1.0.0".to_owned()),
            name: Some("refs/x".to_owned()),
            commit: Some(commit(1)),
        };
        let mut seen = Vec::new();
        let kind = |reference: Reference| match reference {
            Reference::Commit { branch, .. } => format!("commit on {branch:?}"),
            Reference::Name(name) => name,
            Reference::Semver(range) => range.to_string(),
            Reference::Tag(tag) => format!("tag {tag}"),
            Reference::Branch(branch) => format!("branch {branch}"),
        };
        seen.push(kind(all.clone().try_into().unwrap()));
        all.commit = Some(String::new());
        seen.push(kind(all.clone().try_into().unwrap()));
        all.name = None;
        seen.push(kind(all.clone().try_into().unwrap()));
        all.semver = None;
        seen.push(kind(all.clone().try_into().unwrap()));
        all.tag = None;
        seen.push(kind(all.clone().try_into().unwrap()));
        all.branch = None;
        seen.push(kind(all.try_into().unwrap()));
        assert_eq!(
            seen,
            [
                "commit on Some(\"b\")",
                "refs/x",
                ">=1.0.0",
                "tag t",
                "branch b",
                "branch master"
            ]
        );
    }

    #[test]
    fn revisions_are_written_as_flux_writes_them() {
        let refs = listed(&["refs/heads/main", "refs/tags/v1.0.0", "refs/pull/1/head"]);
        let revision = |reference: Result<Reference, SourceError>| {
            reference.unwrap().select(&refs).unwrap().revision.to_string()
        };
        assert_eq!(
            revision(fields(|f| f.branch = Some("main".to_owned()))),
            format!("main@sha1:{}", commit(1))
        );
        assert_eq!(
            revision(fields(|f| f.semver = Some("1.x".to_owned()))),
            format!("v1.0.0@sha1:{}", commit(2))
        );
        assert_eq!(
            revision(fields(|f| f.name = Some("refs/pull/1/head".to_owned()))),
            format!("refs/pull/1/head@sha1:{}", commit(3))
        );
        assert_eq!(
            revision(fields(|f| f.commit = Some(commit(9)))),
            format!("sha1:{}", commit(9))
        );
        let on_branch = fields(|f| {
            f.commit = Some(commit(9));
            f.branch = Some("main".to_owned());
        });
        assert_eq!(revision(on_branch), format!("main@sha1:{}", commit(9)));
    }

    #[test]
    fn an_annotated_tag_is_asked_for_and_its_commit_is_the_revision() {
        let mut refs = listed(&["refs/tags/v1"]);
        refs[0].peeled = Some(ObjectId::from_bytes([7; 20]));
        let target = Reference::Tag("v1".to_owned()).select(&refs).unwrap();
        assert_eq!(target.want, ObjectId::from_bytes([1; 20]));
        assert_eq!(target.revision.to_string(), format!("v1@sha1:{}", commit(7)));
    }

    #[test]
    fn a_branch_that_only_begins_with_the_name_is_not_it() {
        assert_eq!(
            Reference::Branch("main".to_owned()).select(&listed(&["refs/heads/main-2"])),
            None
        );
    }

    #[test]
    fn a_missing_branch_names_similar_ones() {
        let refs = listed(&["refs/heads/main", "refs/heads/staging", "refs/heads/production"]);
        let message = |name: &str| {
            Reference::Branch(name.to_owned())
                .not_found("u", &refs)
                .to_string()
        };
        assert_eq!(
            message("stagin"),
            "no branch 'stagin' in 'u'; did you mean 'staging'?"
        );
        assert_eq!(
            message("x"),
            "no branch 'x' in 'u'; there are 'main', 'staging', 'production'"
        );
        assert_eq!(
            Reference::Tag("v1".to_owned()).not_found("u", &[]).to_string(),
            "no tag 'v1' in 'u'; there is none at all"
        );
    }

    #[test]
    fn a_range_that_nothing_matches_names_the_highest_version() {
        let range = Reference::Semver(">=2".parse().unwrap());
        let refs = listed(&["refs/tags/v1.2.0", "refs/tags/v1.10.0", "refs/tags/nightly"]);
        assert_eq!(
            range.not_found("u", &refs).to_string(),
            "no tag matches the range '>=2' in 'u'; the highest version among 3 tags is 'v1.10.0'"
        );
    }

    #[test]
    fn names_that_git_forbids_are_refused_and_stall() {
        for name in ["a..b", "/a", "a/", "a b", "a:b", "x.lock", "a\nb"] {
            let error = fields(|f| f.branch = Some(name.to_owned())).unwrap_err();
            assert!(error.is_stalled(), "{error}");
        }
        let error = fields(|f| f.commit = Some("abc".to_owned())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid Git reference: spec.ref.commit 'abc' is not a commit, expected 40 hexadecimal digits"
        );
    }
}
