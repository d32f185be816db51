//! YAML as Kubernetes' Go programs read and write it. In: text; out: [`Node`] trees and text. Pure.
//!
//! [`load`] reads as go-yaml does and keeps every scalar as it was written; [`resolve()`] decides types
//! by the rules of go-yaml v2 or v3; [`emit()`] prints a JSON value to the byte as `sigs.k8s.io/yaml` does.

mod comments;
mod emit;
mod load;
mod node;
pub(crate) mod number;
mod order;
mod plain;
mod print;
mod resolve;
mod scan;
mod scan_scalar;
mod scan_tag;
mod split;

pub use emit::emit;
pub(crate) use emit::{as_plain_scalar, emit_node};
pub(crate) use load::load_v2;
pub use load::{LoadError, load, load_all, text_of};
pub use node::{Content, Mapping, Node, Position, Scalar, Style, Tag};
pub use plain::{ConvertError, to_value};
pub(crate) use print::print_as_written;
pub use resolve::{Resolved, Schema, resolve};
pub use split::{Chunk, split_documents};
