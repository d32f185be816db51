//! Server-side apply: who owns which field, and what follows from it.
//!
//! In: a live object, its managers, what somebody applies or updates. Out: the merged object and the new
//! managers, or the conflicts. No I/O, no clock.
//!
//! The rules are those of sigs.k8s.io/structured-merge-diff (v6) and of k8s.io/apimachinery's
//! `managedfields`; each function names its counterpart.

mod compare;
mod element;
mod managers;
mod merge;
mod owners;
mod remove;
mod set;
mod walk;

pub(crate) use compare::same;
pub(crate) use element::PathElement;
pub(crate) use managers::Managers;
pub(crate) use owners::{ApplyError, Manager, apply, update};
pub(crate) use set::FieldSet;
pub(crate) use walk::plain;
