//! As much of JSON Schema as Meta's file uses: structure, required and known properties, words, lengths and bounds. Patterns and formats are prose there and are not checked.

pub(crate) mod account;
mod exceptions;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

/// Where Meta's file is behind Meta, or damaged.
#[derive(Debug)]
pub(crate) enum Exception {
    /// In one schema, another one is meant than the one referred to.
    Instead {
        schema: &'static str,
        of: &'static str,
        use_instead: &'static str,
        why: &'static str,
    },
    /// A property that the schema does not know.
    MayHave {
        schema: &'static str,
        property: &'static str,
        why: &'static str,
    },
    /// A property that the schema requires; perhaps only where another stands instead.
    MayLack {
        schema: &'static str,
        property: &'static str,
        instead: Option<&'static str>,
        why: &'static str,
    },
    /// A word that the schema does not list.
    MayBe {
        schema: &'static str,
        value: &'static str,
        why: &'static str,
    },
    /// A property whose words the schema only gives examples of.
    IsFree {
        schema: &'static str,
        property: &'static str,
        why: &'static str,
    },
    /// A property of another type than the schema says.
    IsA {
        schema: &'static str,
        property: &'static str,
        kind: &'static str,
        why: &'static str,
    },
    /// A property that may be longer than the schema says.
    MayCount {
        schema: &'static str,
        property: &'static str,
        most: usize,
        why: &'static str,
    },
    /// A property by which a value is of a shape that is not among the schema's choices.
    MayBeWith {
        schema: &'static str,
        property: &'static str,
        why: &'static str,
    },
}

/// The schemas of an `OpenAPI` file.
pub(crate) struct Schemas {
    /// With the schemas of answers to calls, by method and path.
    by_name: Map<String, Value>,
    examples: Map<String, Value>,
    exceptions: &'static [Exception],
    used: RefCell<BTreeSet<usize>>,
}

/// What is being checked: which named schema a part belongs to, and where the value stands.
#[derive(Clone, Copy)]
struct At<'a> {
    schema: &'a str,
    path: &'a str,
}

/// Meta's file, where there is one.
pub(crate) fn schemas() -> Option<Schemas> {
    schemas_with(exceptions::EXCEPTIONS)
}

/// Meta's file, where there is one, but for these exceptions.
pub(crate) fn schemas_with(exceptions: &'static [Exception]) -> Option<Schemas> {
    let Some(path) = std::env::var_os("META_OPENAPI").filter(|path| !path.is_empty()) else {
        assert!(
            !std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1"),
            "META_OPENAPI is not set, and in CI it must be"
        );
        #[expect(
            clippy::print_stderr,
            reason = "whoever reads the run must know what it did not check"
        )]
        {
            eprintln!("LEFT OUT: META_OPENAPI is not set, nothing was held against Meta's OpenAPI file");
        }
        return None;
    };
    // A relative path is meant from the root of the tree, where `.ci/run` starts.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path)).expect("META_OPENAPI names a file that can be read");
    Some(Schemas::read(&text, exceptions))
}

// === impl Schemas ===

impl Schemas {
    pub(crate) fn read(yaml: &str, exceptions: &'static [Exception]) -> Self {
        let options = serde_saphyr::options! { budget: None };
        let mut file: Value = serde_saphyr::from_str_with_options(yaml, options).expect("YAML");
        let mut by_name: Map<String, Value> =
            serde_json::from_value(file["components"]["schemas"].take()).expect("the file has schemas");
        for (path, calls) in file["paths"].as_object().expect("the file has paths") {
            for (method, call) in calls.as_object().expect("calls") {
                let answer = &call["responses"]["200"]["content"]["application/json"]["schema"];
                if !answer.is_null() {
                    by_name.insert(format!("{method} {path}"), answer.clone());
                }
            }
        }
        let messages = &mut file["paths"]["/{Version}/{Phone-Number-ID}/messages"]["post"]["requestBody"]["content"];
        let examples = serde_json::from_value(messages["application/json"]["examples"].take());
        Self {
            by_name,
            examples: examples.expect("the file has examples of messages"),
            exceptions,
            used: RefCell::default(),
        }
    }

    /// Fails unless the value is as the schema says.
    pub(crate) fn hold(&self, schema: &str, value: &Value, what: &str) {
        let faults = self.faults(schema, value);
        assert!(faults.is_empty(), "{what} is not a {schema}: {faults:#?}\n{value:#}");
    }

    /// Fails unless the value is a message to send, of its type.
    pub(crate) fn hold_message(&self, value: &Value, what: &str) {
        let faults = self.message_faults(value);
        assert!(faults.is_empty(), "{what} is no message: {faults:#?}\n{value:#}");
    }

    /// What is not as the schema of the message's type says.
    pub(crate) fn message_faults(&self, value: &Value) -> Vec<String> {
        let kind = value["type"].as_str().unwrap_or_default();
        let mapping = &self.by_name["Message"]["discriminator"]["mapping"];
        match mapping[kind].as_str().and_then(|target| target.rsplit('/').next()) {
            Some(schema) => self.faults(schema, value),
            None => vec![format!("the file has no type {kind}")],
        }
    }

    /// One of the file's examples of messages.
    pub(crate) fn example(&self, name: &str) -> Value {
        self.examples[name]["value"].clone()
    }

    /// The file's examples of messages, by name.
    pub(crate) fn examples(&self) -> impl Iterator<Item = (&str, &Value)> {
        let examples = self.examples.iter();
        examples.map(|(name, example)| (name.as_str(), &example["value"]))
    }

    /// What is not as the schema says.
    pub(crate) fn faults(&self, schema: &str, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.named(schema, value, "", &mut faults);
        faults
    }

    /// Exceptions that were never needed.
    pub(crate) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let unused = self
            .exceptions
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index));
        unused.map(|(_, exception)| format!("{exception:?}")).collect()
    }

    fn excepted(&self, holds: impl Fn(&Exception) -> bool) -> Option<&'static Exception> {
        let index = self.exceptions.iter().position(holds)?;
        self.used.borrow_mut().insert(index);
        self.exceptions.get(index)
    }

    fn named(&self, schema: &str, value: &Value, path: &str, faults: &mut Vec<String>) {
        match self.by_name.get(schema) {
            Some(found) => self.check(found, value, At { schema, path }, faults),
            None => faults.push(format!("{path}: the file has no schema {schema}")),
        }
    }

    fn target(&self, at: At<'_>, reference: &str) -> String {
        let name = reference.rsplit('/').next().unwrap_or_default();
        let instead = self.excepted(|exception| {
            matches!(exception, Exception::Instead { schema, of, .. } if *schema == at.schema && *of == name)
        });
        match instead {
            Some(Exception::Instead { use_instead, .. }) => (*use_instead).to_owned(),
            _ => name.to_owned(),
        }
    }

    fn check(&self, schema: &Value, value: &Value, at: At<'_>, faults: &mut Vec<String>) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            return self.named(&self.target(at, reference), value, at.path, faults);
        }
        if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            self.one_of(choices, value, at, faults);
        }
        if let Some(parts) = schema["allOf"].as_array() {
            self.all_of(parts, value, at, faults);
        }
        self.scalar(schema, value, at, faults);
        match value {
            Value::Object(object) => self.object(schema, object, at, faults),
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let path = format!("{}/{index}", at.path);
                    self.check(&schema["items"], element, At { path: &path, ..at }, faults);
                }
            }
            _ => {}
        }
    }

    fn one_of(&self, choices: &[Value], value: &Value, at: At<'_>, faults: &mut Vec<String>) {
        let another = self.excepted(|exception| {
            matches!(exception, Exception::MayBeWith { schema, property, .. } if *schema == at.schema && value.get(property).is_some())
        });
        if another.is_some() {
            return;
        }
        let mut fewest: Option<Vec<String>> = None;
        for choice in choices {
            let mut found = Vec::new();
            self.check(choice, value, at, &mut found);
            if fewest.as_ref().is_none_or(|fewest| found.len() < fewest.len()) {
                fewest = Some(found);
            }
        }
        faults.extend(fewest.unwrap_or_default());
    }

    /// Each part by itself; what one part forbids as unknown may be known to another.
    fn all_of(&self, parts: &[Value], value: &Value, at: At<'_>, faults: &mut Vec<String>) {
        let mut known = BTreeSet::new();
        let mut closed = false;
        let mut parents = vec![at.schema.to_owned()];
        for part in parts {
            let name = part["$ref"].as_str().map(|reference| self.target(at, reference));
            let named = name.as_ref().and_then(|name| self.by_name.get(name));
            let mut part = named.unwrap_or(part).clone();
            let schema = name.as_deref().unwrap_or(at.schema);
            known.extend(part["properties"].as_object().into_iter().flat_map(Map::keys).cloned());
            closed |= part["additionalProperties"] == false;
            if let Some(object) = part.as_object_mut() {
                object.remove("additionalProperties");
            }
            self.check(&part, value, At { schema, ..at }, faults);
            parents.extend(name);
        }
        let keys = value.as_object().into_iter().flat_map(Map::keys).filter(|_| closed);
        for key in keys.filter(|key| !known.contains(*key)) {
            let fits = parents.iter().any(|schema| self.may_have(schema, key));
            if !fits {
                faults.push(format!("{}: {} has no {key}", at.path, at.schema));
            }
        }
    }

    fn object(&self, schema: &Value, object: &Map<String, Value>, at: At<'_>, faults: &mut Vec<String>) {
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let excepted = || {
                self.excepted(|exception| {
                    matches!(exception, Exception::MayLack { schema, property, instead, .. }
                        if *schema == at.schema && *property == name && instead.is_none_or(|key| object.contains_key(key)))
                })
            };
            if !object.contains_key(name) && excepted().is_none() {
                faults.push(format!("{}: {} requires {name}", at.path, at.schema));
            }
        }
        for (key, value) in object {
            match schema["properties"].get(key) {
                Some(property) => {
                    let path = format!("{}/{key}", at.path);
                    self.check(property, value, At { path: &path, ..at }, faults);
                }
                None if schema["additionalProperties"] == false && !self.may_have(at.schema, key) => {
                    faults.push(format!("{}: {} has no {key}", at.path, at.schema));
                }
                None => {}
            }
        }
    }

    fn may_have(&self, of: &str, key: &str) -> bool {
        let excepted = self.excepted(|exception| {
            matches!(exception, Exception::MayHave { schema, property, .. } if *schema == of && *property == key)
        });
        excepted.is_some()
    }

    /// An exception for the property that a path leads to.
    fn of_property(&self, at: At<'_>, holds: impl Fn(&Exception) -> bool) -> bool {
        let last = at.path.rsplit('/').next().unwrap_or_default();
        let excepted = self.excepted(|exception| {
            let (Exception::IsFree { schema, property, .. }
            | Exception::IsA { schema, property, .. }
            | Exception::MayCount { schema, property, .. }) = exception
            else {
                return false;
            };
            *schema == at.schema && *property == last && holds(exception)
        });
        excepted.is_some()
    }

    fn scalar(&self, schema: &Value, value: &Value, at: At<'_>, faults: &mut Vec<String>) {
        let path = at.path;
        if let Some(wanted) = schema["type"].as_str()
            && !is_a(value, wanted)
            && !self.of_property(
                at,
                |exception| matches!(exception, Exception::IsA { kind, .. } if is_a(value, kind)),
            )
        {
            faults.push(format!("{path}: is no {wanted}"));
        }
        let listed = |words: &Vec<Value>| words.contains(value);
        if schema["enum"].as_array().is_some_and(|words| !listed(words)) {
            let excepted = self.excepted(|exception| {
                matches!(exception, Exception::MayBe { schema, value: word, .. } if *schema == at.schema && value == word)
            });
            if excepted.is_none() && !self.of_property(at, |exception| matches!(exception, Exception::IsFree { .. })) {
                faults.push(format!("{path}: {value} is none of {}", schema["enum"]));
            }
        }
        if schema.get("const").is_some_and(|constant| constant != value) {
            faults.push(format!("{path}: is not {}", schema["const"]));
        }
        let size = match value {
            Value::String(text) => Some((text.chars().count(), "minLength", "maxLength")),
            Value::Array(elements) => Some((elements.len(), "minItems", "maxItems")),
            _ => None,
        };
        if let Some((size, least, most)) = size {
            let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
            let long = bound(most).is_some_and(|most| size > most)
                && !self.of_property(
                    at,
                    |exception| matches!(exception, Exception::MayCount { most, .. } if size <= *most),
                );
            if bound(least).is_some_and(|least| size < least) || long {
                faults.push(format!("{path}: its length is {size}"));
            }
        }
        if let Some(number) = value.as_f64()
            && (schema["minimum"].as_f64().is_some_and(|least| number < least)
                || schema["maximum"].as_f64().is_some_and(|most| number > most))
        {
            faults.push(format!("{path}: {number} is out of bounds"));
        }
    }
}

fn is_a(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}
