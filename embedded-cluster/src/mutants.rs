//! Faults that a test build has on purpose, one at a time, to prove that the matrix of requests notices each.
//!
//! In: the name of a fault. Out: whether it is chosen. No I/O. Without the feature `mutants` there are none:
//! [`mutated!`] is `false` then, and the compiler drops what hangs on it.

/// Whether this build has a fault, and it is chosen.
#[cfg(not(feature = "mutants"))]
macro_rules! mutated {
    ($name:ident) => {
        false
    };
}

/// Whether this build has a fault, and it is chosen.
#[cfg(feature = "mutants")]
macro_rules! mutated {
    ($name:ident) => {
        crate::mutants::Mutant::$name.is_chosen()
    };
}

#[cfg(feature = "mutants")]
macro_rules! mutants {
    ($($name:ident: $fault:literal,)*) => {
        /// A fault on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $fault] $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is wrong.
            #[must_use]
            pub fn fault(self) -> &'static str {
                match self {
                    $(Self::$name => $fault,)*
                }
            }
        }
    };
}

#[cfg(feature = "mutants")]
mutants! {
    ForceIgnored: "a forced apply conflicts",
    ConflictDropped: "the first manager in the way of an apply is not seen",
    BeforeFirstApplyForgotten: "what nobody owned before the first apply goes to nobody",
    OwnershipKept: "a manager keeps fields that were removed",
    ListKeyIgnored: "a list is replaced where its elements should be merged by key",
    DefaultForgotten: "a default is not set",
    ImmutableChanged: "fields change that may not",
    VersionUnchecked: "an update with an old resourceVersion is taken",
    NoOpWritten: "a write that changes nothing gets a new resourceVersion",
    GenerationNotCounted: "the generation stays when the specification changes",
    StatusThroughMain: "a status is written with its object",
    StrategicAsMerge: "a strategic merge patch replaces lists",
    DryRunPersists: "a dry run of a creation creates",
    SuffixMissing: "a generated name has no suffix",
    CausesMissing: "an error does not say its causes",
    WarningLost: "unknown fields are dropped without a warning",
    FinalizerIgnored: "an object with a finalizer goes at once",
    DeletePreconditionIgnored: "an object with another uid is deleted",
    NamespaceKeepsObjects: "a namespace goes before what is in it",
    SelectorEdgeLost: "an object that leaves a selector is not told",
    DeletionNotTold: "a watch does not tell deletions",
    PageLosesAnItem: "an object between two pages is lost",
    GoneMissing: "a list goes on from a version that is long gone",
    PruningForgotten: "unknown fields of custom objects are kept",
    ValidationSkipped: "custom objects are not validated",
}

#[cfg(feature = "mutants")]
static CHOSEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

#[cfg(feature = "mutants")]
impl Mutant {
    /// Has all clusters of this process have this fault, and no other.
    pub fn choose(self) {
        CHOSEN.store(self as usize, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn is_chosen(self) -> bool {
        CHOSEN.load(std::sync::atomic::Ordering::SeqCst) == self as usize
    }
}
