//! The differences from upstream that are accepted, each with its reason. A closed list: a difference that is not in
//! it fails, and so does one in it that is no longer there.

/// Differences that are accepted, for one reason.
pub(crate) struct Accepted {
    /// Why.
    #[expect(dead_code, reason = "it is for people")]
    pub(crate) reason: &'static str,
    /// The sentences of the rows that have them.
    pub(crate) rows: &'static [&'static str],
    /// Where in their answers; `*` stands for any one step, a last `**` for all that follow, and nothing for answers
    /// whose code differs.
    pub(crate) pointers: &'static [&'static str],
}

/// Answers that differ as a whole, by their code.
const WHOLE: &[&str] = &[""];
/// The first cause, and the message that is made of it.
const FIRST_CAUSE: &[&str] = &["/body/details/causes/0/message", "/body/message"];

/// All of them.
pub(crate) const ACCEPTED: &[Accepted] = &[
    Accepted {
        reason: "a message quotes a Go struct, whose fields have the order of the type; here they are sorted",
        rows: &[
            "a value of the wrong type is refused in a JSON patch",
            "a value of the wrong type is refused in a merge patch",
            "kind and version cannot be changed by a patch",
            "a scale of a wrong type is refused",
            "the template of a Job cannot be changed",
            "bytes are checked",
            "an unknown field of a merge patch is refused",
            "there is one controller",
        ],
        pointers: FIRST_CAUSE,
    },
    Accepted {
        reason: "a message ends with what Go's comparison of two structs prints",
        rows: &["the policy of a Pod"],
        pointers: FIRST_CAUSE,
    },
    Accepted {
        reason: "a message ends with what Go's comparison of two structs prints",
        rows: &["a Pod's name of a container may not be changed"],
        pointers: &["/body/details/causes/1/message", "/body/message"],
    },
    Accepted {
        reason: "upstream adds a cause that its schema library makes of the number's format, without a field",
        rows: &["a fraction is no integer"],
        pointers: &["/body/details/causes/1", "/body/message"],
    },
    Accepted {
        reason: "upstream tells the same cause once for each layer that checks metadata",
        rows: &["a dry run of something wrong"],
        pointers: &[
            "/body/details/causes/1",
            "/body/details/causes/2",
            "/body/details/causes/3",
        ],
    },
    Accepted {
        reason: "an empty selector is dropped before it is checked, and so it is missing",
        rows: &["an empty selector is refused"],
        pointers: &[
            "/body/details/causes/0/message",
            "/body/details/causes/0/reason",
            "/body/details/causes/1",
            "/body/message",
        ],
    },
    Accepted {
        reason: "CEL rules are not evaluated",
        rows: &["an object that breaks a rule", "a rule that cannot be read"],
        pointers: WHOLE,
    },
    Accepted {
        reason: "no tokens are issued, and so none is mounted",
        rows: &["a Pod that talks to the server gets a token"],
        pointers: &["/body/spec/containers/0/volumeMounts", "/body/spec/volumes"],
    },
    Accepted {
        reason: "warnings about discouraged values are not sent",
        rows: &[
            "a variable twice is kept twice in a container that had none",
            "a variable twice is kept twice in a new container",
        ],
        pointers: &["/warning"],
    },
    Accepted {
        reason: "a review is answered and not tracked",
        rows: &["a right of one's own"],
        pointers: &["/body/metadata"],
    },
    Accepted {
        reason: "columns are not described",
        rows: &[
            "columns of a defined kind",
            "a table of ConfigMaps",
            "a table of one ConfigMap",
            "a table with whole objects",
            "a table with no objects",
            "a table of Services",
            "a table of Deployments",
            "a table of Pods",
            "a table of no StatefulSets",
            "a table of no Jobs",
            "a table of no Secrets",
            "a table of no Ingresses",
            "a table of no Events",
        ],
        pointers: &["/body/columnDefinitions/*/description"],
    },
    Accepted {
        reason: "columns are not described",
        rows: &["events in the form of tables"],
        pointers: &["/body/events/0/object/columnDefinitions/*/description"],
    },
];
