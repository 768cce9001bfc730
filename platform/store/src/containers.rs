//! Maps container ordinals to bucket or container names, and object paths to storage classes.
//!
//! Container 0 is the one in the URL. Further ones are a configured list, or `<base>-<ordinal in hex>`. Pure; making a
//! missing container is the client's business.

use std::borrow::Cow;

use proxyfs_core::store::{StoreError, StoreErrorKind, StoreResult};
use serde::{Deserialize, Serialize};

/// How a volume spreads over containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerOptions {
    /// Names of containers 0, 1, 2 ...; empty derives them from the URL's. The first must be the URL's.
    pub containers: Vec<String>,
    /// Whether missing containers are made.
    pub create_containers: bool,
    /// Storage class (S3) of segments, the objects below `data/`; default is the store's own.
    pub data_storage_class: Option<String>,
    /// Storage class (S3) of all other objects.
    pub meta_storage_class: Option<String>,
    /// Storage policy (Swift) of containers that are made here.
    pub storage_policy: Option<String>,
}

/// The containers of one volume.
#[derive(Clone, Debug)]
pub(crate) struct Containers {
    base: String,
    options: ContainerOptions,
}

impl Containers {
    /// # Errors
    /// [`StoreErrorKind::Invalid`] when the configured list does not begin with the URL's container or repeats a name.
    pub(crate) fn new(base: &str, options: ContainerOptions) -> StoreResult<Self> {
        let names = &options.containers;
        if names.first().is_some_and(|first| first != base) {
            let message =
                format!("`containers` must begin with the URL's own container `{base}`, it begins with `{}`", names[0]);
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        if let Some(twice) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            let message = format!("`containers` names `{}` twice", twice.1);
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        Ok(Self { base: base.to_owned(), options })
    }

    /// Name of a container.
    ///
    /// # Errors
    /// [`StoreErrorKind::NoContainer`] past the end of a configured list.
    pub(crate) fn name(&self, ordinal: u32) -> StoreResult<Cow<'_, str>> {
        let names = &self.options.containers;
        if names.is_empty() {
            let made = || format!("{}-{ordinal:x}", self.base).into();
            return Ok(if ordinal == 0 { self.base.as_str().into() } else { made() });
        }
        let missing = || {
            let message = format!("container {ordinal} is needed, `containers` lists only {}; add one", names.len());
            StoreError::new(StoreErrorKind::NoContainer, message)
        };
        names.get(ordinal as usize).map(|n| n.as_str().into()).ok_or_else(missing)
    }

    /// Storage class for a new object at `path`.
    pub(crate) fn storage_class(&self, path: &str) -> Option<&str> {
        let class =
            if path.starts_with("data/") { &self.options.data_storage_class } else { &self.options.meta_storage_class };
        class.as_deref()
    }

    pub(crate) fn may_create(&self) -> bool {
        self.options.create_containers
    }

    pub(crate) fn storage_policy(&self) -> Option<&str> {
        self.options.storage_policy.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(names: &[&str]) -> StoreResult<Containers> {
        let options = ContainerOptions {
            containers: names.iter().map(|n| (*n).to_owned()).collect(),
            data_storage_class: Some("COLD".into()),
            ..Default::default()
        };
        Containers::new("base", options)
    }

    #[test]
    fn ordinals_become_derived_or_listed_names() {
        let derived = containers(&[]).unwrap();
        assert_eq!([0, 1, 31].map(|n| derived.name(n).unwrap().into_owned()), ["base", "base-1", "base-1f"]);
        let listed = containers(&["base", "other"]).unwrap();
        assert_eq!([0, 1].map(|n| listed.name(n).unwrap().into_owned()), ["base", "other"]);
        assert_eq!(listed.name(2).unwrap_err().kind, StoreErrorKind::NoContainer);
    }

    #[test]
    fn lists_that_contradict_the_url_or_repeat_are_refused() {
        assert!(containers(&["other", "base"]).is_err());
        assert!(containers(&["base", "x", "x"]).is_err());
    }

    #[test]
    fn only_segments_get_the_data_class() {
        let all = containers(&[]).unwrap();
        assert_eq!(all.storage_class("data/00/x"), Some("COLD"));
        assert_eq!(all.storage_class("head/1"), None);
    }
}
