//! `apis!`: everything that depends on the list of APIs, made out of that list.
//!
//! Floor 4 of proto; used once, by the table in `kafka/mod.rs`.
//!
//! Invariants
//! - A row is number, name, implemented versions, advertised versions, first flexible version (or
//!   `never flexible`), request and response; rows ascend by number.

/// Declares `ApiKey`, `APIS`, `Request` and `Response` where it is used.
macro_rules! apis {
    ($(
        $number:literal $api:ident: $min:literal..=$max:literal,
        advertised $advertised_min:literal..=$advertised_max:literal,
        $(flexible $flexible:literal)? $(never $never:ident)?,
        $request:ident => $response:ident;
    )+) => {
        /// An API of the Kafka wire; its number is the key in the head of a request.
        ///
        /// It grows, and yet is not `non_exhaustive`, like [`Request`] and [`Response`]: a broker
        /// that forgets an API of the table shall not compile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!(
                    stringify!($api), ", key ", $number, ", v", $min, " to v", $max, "."
                )]
                $api = $number,
            )+
        }

        /// The table of APIs, ascending by key.
        pub const APIS: &[ApiInfo] = &[$(ApiKey::$api.info(),)+];

        impl ApiKey {
            /// The API with this key.
            #[must_use]
            pub const fn from_number(key: i16) -> Option<Self> {
                match key {
                    $($number => Some(Self::$api),)+
                    _ => None,
                }
            }

            /// The row of the table for this API.
            #[must_use]
            pub const fn info(self) -> ApiInfo {
                match self {
                    $(Self::$api => ApiInfo {
                        key: self,
                        name: stringify!($api),
                        implemented: Versions { min: $min, max: $max },
                        advertised: Versions { min: $advertised_min, max: $advertised_max },
                        flexible_from: apis!(@flexible_from $($flexible)? $($never)?),
                    },)+
                }
            }
        }

        /// A request of any API.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $(
                #[doc = concat!("A request of ", stringify!($api), ".")]
                $api($request),
            )+
        }

        impl Request {
            /// The API of the request.
            #[must_use]
            pub const fn key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)+
                }
            }

            fn decode_body(
                key: ApiKey,
                reader: &mut Reader,
                version: Version,
            ) -> Result<Self, DecodeError> {
                Ok(match key {
                    $(ApiKey::$api => Self::$api(Wire::decode(reader, version)?),)+
                })
            }

            fn encode_body(
                &self,
                writer: &mut Writer,
                version: Version,
            ) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(request) => request.encode(writer, version),)+
                }
            }
        }

        /// A response of any API.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Response {
            $(
                #[doc = concat!("A response of ", stringify!($api), ".")]
                $api($response),
            )+
        }

        impl Response {
            /// The API of the response.
            #[must_use]
            pub const fn key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)+
                }
            }

            /// Calls `tell` with each error code of the response that is not 0.
            pub fn error_codes(&self, mut tell: impl FnMut(i16)) {
                let mut tell = |code| {
                    if code != 0 {
                        tell(code);
                    }
                };
                match self {
                    $(Self::$api(response) => response.error_codes(&mut tell),)+
                }
            }

            fn decode_body(
                key: ApiKey,
                reader: &mut Reader,
                version: Version,
            ) -> Result<Self, DecodeError> {
                Ok(match key {
                    $(ApiKey::$api => Self::$api(Wire::decode(reader, version)?),)+
                })
            }

            fn encode_body(
                &self,
                writer: &mut Writer,
                version: Version,
            ) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(response) => response.encode(writer, version),)+
                }
            }
        }

        $(
            impl ApiRequest for $request {
                const KEY: ApiKey = ApiKey::$api;
                type Response = $response;

                fn into_request(self) -> Request {
                    Request::$api(self)
                }

                fn response(response: Response) -> Option<$response> {
                    match response {
                        Response::$api(response) => Some(response),
                        _ => None,
                    }
                }
            }

            impl From<$request> for Request {
                fn from(request: $request) -> Self {
                    Self::$api(request)
                }
            }

            impl From<$response> for Response {
                fn from(response: $response) -> Self {
                    Self::$api(response)
                }
            }
        )+

        /// One call of a macro for each API, for tests over all of them.
        #[cfg(test)]
        macro_rules! for_each_api {
            ($with:ident) => { $($with!($api, $request, $response);)+ };
        }
        #[cfg(test)]
        pub(crate) use for_each_api;
    };
    (@flexible_from flexible) => { i16::MAX };
    (@flexible_from $flexible:literal) => { $flexible };
}

pub(crate) use apis;
