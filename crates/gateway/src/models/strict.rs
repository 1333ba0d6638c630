//! JSON that has one reading: an object that names a member twice is refused, because the provider may take the other one.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// The most values in a text: each takes many times more memory than the two letters that it can be written in.
const MOST: usize = 1 << 20;

/// Reads a text in which no object has two members of one name.
pub(crate) fn read(text: &[u8]) -> Result<Value, serde_json::Error> {
    let (left, mut from) = (Cell::new(MOST), serde_json::Deserializer::from_slice(text));
    let value = Reading(&left).deserialize(&mut from)?;
    from.end().map(|()| value)
}

/// Reads a value, of so many that are left.
#[derive(Clone, Copy)]
struct Reading<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("it has too many values"))?;
        self.0.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.insert(name, members.next_value_seed(self)?).is_some() {
                return Err(A::Error::custom("an object names a member twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"a":1}}"#;
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for text in
            [r#"{"a":1,"a":2}"#, r#"[{"x":{"tools":[],"tool\u0073":[1]}}]"#, "{\"a\":1}{", "\u{feff}{}"]
        {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"{\"a\":\"\xff\"}").is_err());
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let many = |count| format!("[{}0]", "0,".repeat(count - 2));
        assert!(read(many(MOST).as_bytes()).is_ok());
        assert!(read(many(MOST + 1).as_bytes()).is_err());
    }
}
