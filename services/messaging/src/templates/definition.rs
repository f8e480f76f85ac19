//! A template as a message must fit it.

use std::time::Duration;

use outeract_domain::Priority;
use outeract_graph::template::Parts;
use outeract_proto::messaging::v1::{TemplateCategory, TemplateStatus};

use super::words;
use crate::store::template;

/// A template's definition, read once from what Meta says of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    status: TemplateStatus,
    meta_status: String,
    category: TemplateCategory,
    named: bool,
    parts: Option<Parts>,
}

/// As long as Meta tries to deliver a one-time code by default.
const CODE_LIFETIME: Duration = Duration::from_mins(10);

// === impl Definition ===

impl Definition {
    /// Whether it can be sent.
    pub(crate) fn status(&self) -> TemplateStatus {
        self.status
    }

    /// Meta's word for that.
    pub(crate) fn meta_status(&self) -> &str {
        &self.meta_status
    }

    /// What it is for. Marketing needs consent.
    #[cfg(test)]
    pub(crate) fn category(&self) -> TemplateCategory {
        self.category
    }

    /// The class of its messages, unless the caller chose one: one-time codes go first, campaigns last.
    pub(crate) fn priority(&self) -> Priority {
        match self.category {
            TemplateCategory::Authentication => Priority::Urgent,
            TemplateCategory::Marketing => Priority::Bulk,
            TemplateCategory::Utility | TemplateCategory::Unspecified => Priority::Normal,
        }
    }

    /// How long its messages may wait, unless the caller said so: a one-time code is of no use for long. `None`: as any message.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.is_one_time_code().then_some(CODE_LIFETIME)
    }

    /// It carries a one-time code, which Meta delivers to phone numbers only.
    pub(crate) fn is_one_time_code(&self) -> bool {
        self.category == TemplateCategory::Authentication
    }

    /// Its places have names.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// Its parts. `None`: they cannot be read, and Meta alone can tell what fits.
    pub(crate) fn parts(&self) -> Option<&Parts> {
        self.parts.as_ref()
    }

    #[cfg(test)]
    pub(super) fn new(category: TemplateCategory, status: TemplateStatus, components: &serde_json::Value) -> Self {
        let parts = Parts::parse(components.to_string().as_bytes());
        Self {
            status,
            meta_status: status.as_str_name().trim_start_matches("TEMPLATE_STATUS_").to_owned(),
            category,
            named: parts.as_ref().is_some_and(Parts::is_named),
            parts,
        }
    }
}

impl From<template::Template> for Definition {
    fn from(row: template::Template) -> Self {
        Self {
            status: words::stored_status(row.status),
            meta_status: row.meta_status,
            category: words::stored_category(row.category),
            named: row.named,
            parts: Parts::parse(&row.components),
        }
    }
}
