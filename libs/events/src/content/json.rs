//! Data of flows.

use outeract_domain::content::{Check, Finite, Json, Private};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// Data that a caller gave.
pub(super) fn data(given: Option<Struct>, check: &mut Check) -> Option<Json> {
    let data = object(given?);
    if data.is_none() {
        check.note("data", "must hold finite numbers only");
    }
    data
}

pub(super) fn to_proto(data: &Json) -> Struct {
    match data {
        Json::Object(fields) => Struct {
            fields: fields
                .iter()
                .map(|(name, value)| (name.clone(), value_to_proto(value)))
                .collect(),
        },
        // Data of flows are objects.
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => Struct::default(),
    }
}

fn object(given: Struct) -> Option<Json> {
    let fields = given.fields.into_iter();
    let fields: Option<_> = fields.map(|(name, given)| Some((name, value(given)?))).collect();
    fields.map(Json::Object)
}

fn value(given: Value) -> Option<Json> {
    match given.kind {
        None | Some(Kind::NullValue(_)) => Some(Json::Null),
        Some(Kind::BoolValue(yes)) => Some(Json::Bool(yes)),
        Some(Kind::NumberValue(number)) => Finite::new(number).map(Json::Number),
        Some(Kind::StringValue(text)) => Some(Json::Text(Private::from(text))),
        Some(Kind::ListValue(list)) => {
            let elements: Option<_> = list.values.into_iter().map(value).collect();
            elements.map(Json::List)
        }
        Some(Kind::StructValue(fields)) => object(fields),
    }
}

fn value_to_proto(value: &Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(yes) => Kind::BoolValue(*yes),
        Json::Number(number) => Kind::NumberValue(number.get()),
        Json::Text(text) => Kind::StringValue(text.as_str().to_owned()),
        Json::List(elements) => Kind::ListValue(ListValue {
            values: elements.iter().map(value_to_proto).collect(),
        }),
        Json::Object(_) => Kind::StructValue(to_proto(value)),
    };
    Value { kind: Some(kind) }
}
