//! The table that says once what a setting is: field, type, default, Kafka's name, range and words.
//!
//! Floor 1 of client.
//!
//! From one row follow the public field, its default, its setter, its property and its check.
//!
//! Invariants
//! - What `properties` gives, `from_properties` takes, and the result is the same.
//! - A value outside of its range is refused with the name of the setting, never bent.

use std::fmt::Debug;
use std::ops::Bound;
use std::ops::RangeBounds;

use crate::error::ClientError;

/// A setting and its value, as a file of properties has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Kafka's name, such as `batch.size`.
    pub name: &'static str,
    /// The value; absent if there is none, so that the client goes without, or decides by itself.
    pub value: Option<String>,
    /// Whether it is the default.
    pub is_default: bool,
}

/// Declares a struct of settings: one row for each.
///
/// `field: Type = default, "kafka.name", range;` with the documentation above it. A number must be
/// in the range; `..` leaves it to the type. What a setter is given in place of the field's own
/// type stands behind the range, with how it becomes one: `given impl Into<String> =>
/// field.into()`.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $config:ident of $whose:literal;
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $type:ty = $default:expr, $name:literal, $range:expr
            $(, given $given:ty => $convert:expr)?;
        )+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $config {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\n`", $name, "`, by default `", stringify!($default), "`.")]
                pub $field: $type,
            )+
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $config {
            /// Every setting at its default.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            $(settings!(@setter $field $name $type $(, $given => $convert)?);)+

            /// The settings out of properties by Kafka's names; of a name that comes twice the last
            /// value counts.
            ///
            /// # Errors
            /// `Invalid` if a name or a value is not known, or if settings contradict each other.
            pub fn from_properties<N: AsRef<str>, V: AsRef<str>>(
                properties: impl IntoIterator<Item = (N, V)>,
            ) -> Result<Self, $crate::error::ClientError> {
                let mut config = Self::default();
                for (name, value) in properties {
                    $crate::config::names::put(&mut config, name.as_ref(), value.as_ref())?;
                }
                config.validated()
            }

            /// Every setting with its value, for a look or for
            /// [`from_properties`](Self::from_properties).
            #[must_use]
            pub fn properties(&self) -> Vec<$crate::config::table::Property> {
                let default = Self::default();
                vec![$($crate::config::table::property($name, &self.$field, &default.$field)),+]
            }

            /// The settings, if they can be right together.
            ///
            /// A producer or a consumer asks this by itself before its first call; here it can be
            /// asked when a program starts.
            ///
            /// # Errors
            /// `Invalid` with the name of what cannot be right, and what would be.
            pub fn validated(self) -> Result<Self, $crate::error::ClientError> {
                self.check()?;
                Ok(self)
            }

            /// As [`validated`](Self::validated), by reference.
            pub(crate) fn check(&self) -> Result<(), $crate::error::ClientError> {
                $($crate::config::table::check($name, &self.$field, $range)?;)+
                match self.contradiction() {
                    Some(why) => Err($crate::error::ClientError::Invalid(why)),
                    None => Ok(()),
                }
            }
        }

        impl $crate::config::table::Settings for $config {
            const OWNER: &'static str = $whose;
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn put(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
                use $crate::config::table::Value;
                Some(match name {
                    $($name => Value::parse(value).map(|value| self.$field = value),)+
                    _ => return None,
                })
            }
        }
    };
    (@setter $field:ident $name:literal $type:ty) => {
        settings!(@setter $field $name $type, $type => $field);
    };
    (@setter $field:ident $name:literal $type:ty, $given:ty => $convert:expr) => {
        #[doc = concat!("Sets `", $name, "`, see the field [`", stringify!($field), "`](",
            "#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $given) -> Self {
            self.$field = $convert;
            self
        }
    };
}

pub(super) use settings;

/// What the macro makes of a table.
pub(crate) trait Settings {
    /// Whose settings they are: `producer`.
    const OWNER: &'static str;
    /// The names, in the order of the table.
    const NAMES: &'static [&'static str];

    /// Takes a value by name; `None` if the table has no such name.
    fn put(&mut self, name: &str, value: &str) -> Option<Result<(), String>>;
}

/// What a setting can be.
pub(crate) trait Value: Sized + PartialEq {
    /// Out of a property's text, or what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;

    /// As a property's text.
    fn print(&self) -> Option<String>;

    /// The number that has to be in the range.
    fn number(&self) -> Option<i128> {
        None
    }
}

macro_rules! number {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| {
                    format!("{text:?} is no whole number from {} to {}", Self::MIN, Self::MAX)
                })
            }

            fn print(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn number(&self) -> Option<i128> {
                i128::try_from(*self).ok()
            }
        }
    )+};
}

number!(i32, u64, usize);

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Ok(true),
            _ if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn print(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn print(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// An empty text is no value.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(None),
            _ => T::parse(text).map(Some),
        }
    }

    fn print(&self) -> Option<String> {
        self.as_ref()?.print()
    }
}

pub(super) fn property<T: Value>(name: &'static str, value: &T, default: &T) -> Property {
    Property {
        name,
        value: value.print(),
        is_default: value == default,
    }
}

/// Refuses a number outside of its range.
pub(super) fn check(
    name: &str,
    value: &impl Value,
    range: impl RangeBounds<i128>,
) -> Result<(), ClientError> {
    let Some(number) = value.number().filter(|number| !range.contains(number)) else {
        return Ok(());
    };
    let bound = match (range.start_bound(), range.end_bound()) {
        (Bound::Included(min), Bound::Included(max)) => format!("from {min} to {max}"),
        (Bound::Included(min), _) => format!("at least {min}"),
        (_, max) => format!("within {max:?}"),
    };
    Err(ClientError::Invalid(format!(
        "{name} must be {bound}, not {number}"
    )))
}
