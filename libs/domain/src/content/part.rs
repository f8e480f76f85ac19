//! What every part of a content can tell of itself: its size, and the media in it.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{Finite, Json, MediaSource, Private};

/// A part of a content.
pub(super) trait Part {
    /// About how many bytes it takes beside itself.
    fn heap(&self) -> usize {
        0
    }

    /// Its media, in order.
    fn media<'a>(&'a self, _: &mut Vec<&'a MediaSource>) {}

    /// Its media, in order, to be replaced.
    fn media_mut<'a>(&'a mut self, _: &mut Vec<&'a mut MediaSource>) {}
}

/// Implements [`Part`] by asking every field, or every variant.
macro_rules! part {
    (struct $name:ty { $($field:ident),* $(,)? }) => {
        impl $crate::content::part::Part for $name {
            fn heap(&self) -> usize {
                0 $(+ $crate::content::part::Part::heap(&self.$field))*
            }

            fn media<'a>(&'a self, found: &mut Vec<&'a $crate::content::MediaSource>) {
                $($crate::content::part::Part::media(&self.$field, found);)*
            }

            fn media_mut<'a>(&'a mut self, found: &mut Vec<&'a mut $crate::content::MediaSource>) {
                $($crate::content::part::Part::media_mut(&mut self.$field, found);)*
            }
        }
    };
    (enum $name:ty { $($variant:ident),* $(,)? } $(, unit { $($unit:ident),* $(,)? })? $(,)?) => {
        impl $crate::content::part::Part for $name {
            fn heap(&self) -> usize {
                match self {
                    $(Self::$variant(part) => $crate::content::part::Part::heap(part),)*
                    $($(Self::$unit => 0,)*)?
                }
            }

            fn media<'a>(&'a self, found: &mut Vec<&'a $crate::content::MediaSource>) {
                match self {
                    $(Self::$variant(part) => $crate::content::part::Part::media(part, found),)*
                    $($(Self::$unit => {})*)?
                }
            }

            fn media_mut<'a>(&'a mut self, found: &mut Vec<&'a mut $crate::content::MediaSource>) {
                match self {
                    $(Self::$variant(part) => $crate::content::part::Part::media_mut(part, found),)*
                    $($(Self::$unit => {})*)?
                }
            }
        }
    };
}

pub(super) use part;

impl Part for bool {}
impl Part for u8 {}
impl Part for i64 {}
impl Part for Finite {}
impl Part for OffsetDateTime {}
impl Part for time::Date {}

impl Part for String {
    fn heap(&self) -> usize {
        self.len()
    }
}

impl Part for Private {
    fn heap(&self) -> usize {
        self.as_str().len()
    }
}

impl Part for crate::Wamid {
    fn heap(&self) -> usize {
        self.as_str().len()
    }
}

impl Part for BTreeMap<String, Json> {
    fn heap(&self) -> usize {
        self.iter()
            .map(|(key, value)| size_of::<(String, Json)>() + key.len() + value.heap())
            .sum()
    }
}

impl<T: Part> Part for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Part::heap)
    }

    fn media<'a>(&'a self, found: &mut Vec<&'a MediaSource>) {
        if let Some(part) = self {
            part.media(found);
        }
    }

    fn media_mut<'a>(&'a mut self, found: &mut Vec<&'a mut MediaSource>) {
        if let Some(part) = self {
            part.media_mut(found);
        }
    }
}

impl<T: Part> Part for Box<T> {
    fn heap(&self) -> usize {
        size_of::<T>() + (**self).heap()
    }

    fn media<'a>(&'a self, found: &mut Vec<&'a MediaSource>) {
        (**self).media(found);
    }

    fn media_mut<'a>(&'a mut self, found: &mut Vec<&'a mut MediaSource>) {
        (**self).media_mut(found);
    }
}

impl<T: Part> Part for Vec<T> {
    fn heap(&self) -> usize {
        self.iter().map(|part| size_of::<T>() + part.heap()).sum()
    }

    fn media<'a>(&'a self, found: &mut Vec<&'a MediaSource>) {
        for part in self {
            part.media(found);
        }
    }

    fn media_mut<'a>(&'a mut self, found: &mut Vec<&'a mut MediaSource>) {
        for part in self {
            part.media_mut(found);
        }
    }
}
