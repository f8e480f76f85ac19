use outeract_domain::content::Json;
use serde::{Serialize, Serializer};

/// Data of a flow.
pub(super) struct Data<'a>(pub(super) &'a Json);

/// The largest number up to which every whole one has a form of its own.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(yes) => serializer.serialize_bool(*yes),
            // Callers cannot tell 1 from 1.0 in protobuf, and screens that want a whole number do not take the latter.
            Json::Number(number) if number.get().fract() == 0.0 && number.get().abs() <= MAX_WHOLE => {
                serializer.serialize_i64(number.get() as i64)
            }
            Json::Number(number) => serializer.serialize_f64(number.get()),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(elements) => serializer.collect_seq(elements.iter().map(Data)),
            Json::Object(fields) => serializer.collect_map(fields.iter().map(|(name, value)| (name, Data(value)))),
        }
    }
}
