//! `replicas`: sets how many pods a workload has. Pure.

use super::Result;
use super::metadata::refuse_collection;
use crate::error::Error;
use crate::fieldspec::{Create, FieldSpecs};
use crate::id::ResourceId;
use crate::model::Replica;
use crate::resource::Resource;
use crate::set::ResourceSet;
use crate::yaml::Tag;

pub(crate) fn transform(set: &mut ResourceSet, replica: &Replica, specs: &FieldSpecs) -> Result<()> {
    let mut found = false;
    for spec in specs.iter() {
        let is_meant = |id: &ResourceId| id.name == replica.name && id.gvk.is_selected_by(&spec.gvk);
        let matches = |r: &Resource| is_meant(&r.id) || r.previous_ids().any(|id| is_meant(&id));
        for resource in set.as_mut_slice().iter_mut().filter(|r| matches(r)) {
            found = true;
            if !resource.id.gvk.is_selected_by(&spec.gvk) {
                continue;
            }
            let applied = spec.apply(&mut resource.node, Create::Scalar, &mut |node| {
                refuse_collection(node)?;
                node.set_text(replica.count.to_string());
                node.tag = Tag::Int;
                Ok(())
            });
            applied.map_err(|e| e.context(format!("{}: setting replicas", resource.id)))?;
            resource.refresh();
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<_> = specs.iter().map(|spec| spec.gvk.kind.as_str()).collect();
    let message = format!(
        "replicas: no resource named {} is one of {}",
        replica.name,
        kinds.join(", ")
    );
    Err(Error::kustomization(message))
}
