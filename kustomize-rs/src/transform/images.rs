//! `images`: changes names, tags and digests of images. Pure.

use std::collections::HashMap;

use regex::Regex;

use super::Result;
use super::metadata::{refuse_collection, set_scalar};
use crate::error::Error;
use crate::fieldspec::{Create, FieldSpecs};
use crate::model::Image;
use crate::set::ResourceSet;
use crate::yaml::{Content, Node};

/// Applies one entry to every resource.
pub(crate) fn transform(set: &mut ResourceSet, image: &Image, specs: &FieldSpecs) -> Result<()> {
    let updater = Updater::new(image)?;
    for resource in set.as_mut_slice() {
        if resource.id.gvk.kind == "CustomResourceDefinition" {
            continue;
        }
        let gvk = resource.id.gvk.clone();
        let updated = updater.walk(&mut resource.node).and_then(|()| {
            specs.apply(&gvk, &mut resource.node, Create::Never, &mut |node| {
                updater.update(node)
            })
        });
        updated.map_err(|e| e.context(format!("{}: changing images", resource.id)))?;
    }
    Ok(())
}

struct Updater<'a> {
    image: &'a Image,
    pattern: Regex,
    /// What each text became; images repeat a lot.
    known: std::cell::RefCell<HashMap<String, Option<String>>>,
}

impl<'a> Updater<'a> {
    fn new(image: &'a Image) -> Result<Self> {
        let pattern = format!(
            "^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$",
            image.name
        );
        let pattern = crate::regular::compile(&pattern).map_err(|e| {
            Error::kustomization(format!(
                "images: the name {:?} is no regular expression: {e}",
                image.name
            ))
        })?;
        Ok(Self {
            image,
            pattern,
            known: std::cell::RefCell::default(),
        })
    }

    /// Changes `image` in the items of every list called `containers` or `initContainers`.
    fn walk(&self, node: &mut Node) -> Result<()> {
        match &mut node.content {
            Content::Scalar(_) => Ok(()),
            Content::Sequence(items) => items.iter_mut().try_for_each(|item| self.walk(item)),
            Content::Mapping(mapping) => mapping.entries.iter_mut().try_for_each(|(key, value)| {
                self.walk(value)?;
                if !matches!(key.as_text(), Some("containers" | "initContainers")) {
                    return Ok(());
                }
                let Some(items) = value.as_sequence_mut() else {
                    return Ok(());
                };
                items.iter_mut().try_for_each(|item| self.update_item(item))
            }),
        }
    }

    fn update_item(&self, item: &mut Node) -> Result<()> {
        if item.is_null() {
            return Ok(());
        }
        if item.as_mapping().is_none() {
            return Err(Error::resource(format!(
                "expected a container at line {}",
                item.position.line
            )));
        }
        match item.get_mut("image") {
            Some(image) => self.update(image),
            None => Ok(()),
        }
    }

    fn update(&self, node: &mut Node) -> Result<()> {
        if node.is_null() && node.as_text().is_none() {
            return Ok(());
        }
        refuse_collection(node)?;
        let text = node.as_text().unwrap_or_default();
        let mut known = self.known.borrow_mut();
        let new = match known.get(text) {
            Some(new) => new.clone(),
            None => {
                let new = self.pattern.is_match(text).then(|| self.rename(text));
                known.insert(text.to_string(), new.clone());
                new
            }
        };
        match new {
            Some(new) => set_scalar(node, new),
            None => Ok(()),
        }
    }

    fn rename(&self, text: &str) -> String {
        let (name, mut tag, mut digest) = split(text);
        let image = self.image;
        let mut new = if image.new_name.is_empty() {
            name.to_string()
        } else {
            image.new_name.clone()
        };
        let suffixed;
        match (
            image.new_tag.as_str(),
            image.digest.as_str(),
            image.tag_suffix.as_str(),
        ) {
            ("", "", "") => {}
            ("", "", suffix) => {
                suffixed = format!("{tag}{suffix}");
                (tag, digest) = (&suffixed, "");
            }
            (new_tag, new_digest, _) => (tag, digest) = (new_tag, new_digest),
        }
        if !tag.is_empty() {
            new.push(':');
            new.push_str(tag);
        }
        if !digest.is_empty() {
            new.push('@');
            new.push_str(digest);
        }
        new
    }
}

/// Splits an image into name, tag and digest; a colon before the first slash belongs to a port.
fn split(image: &str) -> (&str, &str, &str) {
    let start = image.find('/').unwrap_or(0);
    let rest = &image[start..];
    let (at, colon) = (
        rest.find('@').map(|i| i + start),
        rest.find(':').map(|i| i + start),
    );
    match (colon, at) {
        (None, None) => (image, "", ""),
        (None, Some(at)) => (&image[..at], "", &image[at + 1..]),
        (Some(colon), None) => (&image[..colon], &image[colon + 1..], ""),
        (Some(colon), Some(at)) if at < colon => (&image[..at], "", &image[at + 1..]),
        (Some(colon), Some(at)) => (&image[..colon], &image[colon + 1..at], &image[at + 1..]),
    }
}
