//! The settings of `serve`: flags over the environment over the file over the defaults.
//!
//! Floor 3 of cli.
//!
//! Invariants
//! - A name that is no setting is refused, in a file and in a flag; a stray variable of the
//!   environment is warned about, for it may be meant for someone else.
//! - What `--print-config` prints can be given back with `--config`, and means the same.

mod layers;
mod print;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use highwater_broker::config::BrokerConfig;
use highwater_broker::error::InvalidConfig;
use highwater_broker::{Address, HttpListener, KafkaListener, NativeListener, SecurityProtocol};

use crate::cli::args::ServeArgs;
use crate::cli::failure::Failure;
use layers::{Layer, Source};

/// Everything that a broker of this process is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the data lives; a temporary folder if absent.
    pub(crate) data_dir: Option<PathBuf>,
    /// Where Kafka clients connect.
    pub(crate) kafka: Vec<KafkaListener>,
    /// Where health and metrics are served over HTTP, if anywhere.
    pub(crate) http: Option<HttpListener>,
    /// Where clients of the native protocol connect, if anywhere.
    pub(crate) native: Option<NativeListener>,
    /// Whether anyone beyond this machine may connect.
    pub(crate) allow_unauthenticated: bool,
    /// The broker's own settings.
    pub(crate) broker: BrokerConfig,
    profile: Profile,
    /// Where each setting that was given comes from.
    sources: BTreeMap<String, Source>,
}

/// The defaults to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Server,
    Edge,
}

impl Settings {
    /// Reads all places. Neither is the data directory looked at nor is an address resolved.
    pub(crate) fn load(args: &ServeArgs) -> Result<Self, Failure> {
        let variables = layers::variables();
        let mut all = Vec::new();
        if args.dev {
            all.push(Layer::dev());
        }
        if args.test_mode {
            all.push(Layer::test_mode());
        }
        if let Some(path) = args
            .config
            .clone()
            .or_else(|| layers::config_variable(&variables))
        {
            all.push(Layer::file(&path)?);
        }
        all.push(Layer::environment(variables));
        all.push(Layer::flags(args)?);
        Self::from_layers(all)
    }

    /// The settings of a broker that lives as long as one command: those of the environment.
    /// Nothing ages away meanwhile, for the broker of every day may have other settings.
    pub(crate) fn for_one_command() -> Result<BrokerConfig, Failure> {
        let mut config = Self::from_layers(vec![Layer::environment(layers::variables())])?.broker;
        config.log_retention_check_interval_ms = NEVER_MS;
        config.offsets_retention_check_interval_ms = NEVER_MS;
        Ok(config)
    }

    /// The broker's settings of a file, or of the one that the environment names, under those of
    /// the environment.
    pub(crate) fn of_file(path: Option<&Path>) -> Result<BrokerConfig, Failure> {
        let variables = layers::variables();
        let path = path.map(Path::to_owned);
        let path = path.or_else(|| layers::config_variable(&variables));
        let file = path.map(|path| Layer::file(&path)).transpose()?;
        let all = file.into_iter().chain([Layer::environment(variables)]);
        Ok(Self::from_layers(all.collect())?.broker)
    }

    /// Every setting with its value and its source, as TOML.
    pub(crate) fn to_toml(&self) -> String {
        print::toml(self)
    }

    fn from_layers(layers: Vec<Layer>) -> Result<Self, Failure> {
        let profile = layers.iter().rev().find_map(Layer::profile).transpose()?;
        let profile = profile.unwrap_or(Profile::Server);
        let mut settings = Self {
            data_dir: None,
            kafka: vec![default_listener()],
            http: None,
            native: None,
            allow_unauthenticated: false,
            broker: profile.config(),
            profile,
            sources: BTreeMap::new(),
        };
        for layer in layers {
            settings.apply(layer)?;
        }
        settings.check()?;
        Ok(settings)
    }

    fn apply(&mut self, layer: Layer) -> Result<(), Failure> {
        for (name, value) in layer.values {
            self.set(&name, &value)
                .map_err(|why| Failure::Usage(format!("{}: {why}", layer.source.place(&name))))?;
            self.sources.insert(name, layer.source.clone());
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &toml::Value) -> Result<(), String> {
        match name {
            DATA_DIR => self.data_dir = Some(PathBuf::from(scalar(name, value)?)),
            KAFKA => self.kafka = listeners(value)?,
            HTTP => self.http = address(&scalar(name, value)?)?,
            NATIVE => self.native = address(&scalar(name, value)?)?,
            // `from_layers` has looked at it.
            PROFILE => {}
            ALLOW_UNAUTHENTICATED => {
                let text = scalar(name, value)?;
                let parsed = text.parse();
                self.allow_unauthenticated =
                    parsed.map_err(|_| format!("{name} is true or false, not {text:?}"))?;
            }
            _ if !layers::is_known(name) => return Err(unknown(name)),
            _ => {
                let text = scalar(name, value)?;
                self.broker
                    .set(name, &text)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// What a single setting cannot show.
    fn check(&self) -> Result<(), Failure> {
        self.broker
            .validate()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        for (index, listener) in self.kafka.iter().enumerate() {
            let rest = &self.kafka[index + 1..];
            if rest.iter().any(|other| other.name == listener.name) {
                let what = listener.name.as_deref().unwrap_or("without a name");
                let sentence = format!("two listeners {what}: give each a name of its own");
                return Err(Failure::Usage(sentence));
            }
        }
        Ok(())
    }
}

impl Profile {
    fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "server" => Ok(Self::Server),
            "edge" => Ok(Self::Edge),
            _ => Err(Failure::Usage(format!(
                "profile is server or edge, not {text:?}"
            ))),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Edge => "edge",
        }
    }

    fn config(self) -> BrokerConfig {
        match self {
            Self::Server => BrokerConfig::server(),
            Self::Edge => BrokerConfig::edge(),
        }
    }
}

/// The text of a value that is no list or table.
fn scalar(name: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(is_set) => Ok(is_set.to_string()),
        _ => Err(format!("{name} is a text, a number or a boolean")),
    }
}

/// A list of listeners, or a text with spaces between them.
fn listeners(value: &toml::Value) -> Result<Vec<KafkaListener>, String> {
    let texts: Vec<&str> = match value {
        toml::Value::String(text) => text.split_whitespace().collect(),
        toml::Value::Array(list) => list.iter().filter_map(toml::Value::as_str).collect(),
        _ => return Err(format!("{KAFKA} is a list of texts")),
    };
    let parse = |text: &&str| text.parse().map_err(|error: InvalidConfig| error.why);
    let listeners: Vec<KafkaListener> = texts.iter().map(parse).collect::<Result<_, _>>()?;
    if listeners.is_empty() {
        return Err(format!("{KAFKA} is empty: nobody could connect"));
    }
    Ok(listeners)
}

/// An address; an empty text is nowhere.
fn address<T: FromStr<Err = InvalidConfig>>(text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse().map_err(|error: InvalidConfig| error.why)?;
    Ok(Some(address))
}

fn unknown(name: &str) -> String {
    match layers::closest(name) {
        Some(known) => format!("no setting has the name {name:?}; did you mean {known}?"),
        None => format!("no setting has the name {name:?}; see `highwater serve --print-config`"),
    }
}

fn default_listener() -> KafkaListener {
    let bind = Address {
        host: "127.0.0.1".to_owned(),
        port: 9092,
    };
    KafkaListener {
        name: None,
        bind,
        advertise: None,
        protocol: SecurityProtocol::Plaintext,
    }
}

/// The settings of the process, beside those of the broker.
const OWN: [&str; 6] = [
    DATA_DIR,
    KAFKA,
    HTTP,
    NATIVE,
    ALLOW_UNAUTHENTICATED,
    PROFILE,
];
const DATA_DIR: &str = "data.dir";
const KAFKA: &str = "kafka";
const HTTP: &str = "http";
const NATIVE: &str = "native";
const ALLOW_UNAUTHENTICATED: &str = "allow.unauthenticated";
const PROFILE: &str = "profile";

/// Longer than any command takes.
const NEVER_MS: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(layers: &[(Source, &str)]) -> Result<Settings, Failure> {
        let parse = |(source, text): &(Source, &str)| Layer::parse(source.clone(), text).unwrap();
        Settings::from_layers(layers.iter().map(parse).collect())
    }

    #[test]
    fn a_later_place_wins() {
        let file = (
            Source::File(PathBuf::from("x.toml")),
            "num.partitions = 3\nnode.id = 7",
        );
        let flag = (Source::Flag, "'num.partitions' = '12'");
        let settings = load(&[file, (Source::Environment, "'node.id' = '8'"), flag]).unwrap();
        assert_eq!(settings.broker.num_partitions, 12);
        assert_eq!(settings.broker.node_id, 8);
        assert_eq!(settings.sources["num.partitions"], Source::Flag);
        assert_eq!(settings.sources["node.id"], Source::Environment);
    }

    #[test]
    fn a_profile_lies_below_every_setting_wherever_it_is_named() {
        let low = (Source::Environment, "'max.connections' = 5");
        let settings = load(&[low, (Source::Flag, "profile = 'edge'")]).unwrap();
        assert_eq!(settings.broker.max_connections, 5);
        let edge = BrokerConfig::edge();
        assert_eq!(settings.broker.fetch_max_bytes, edge.fetch_max_bytes);
        assert!(load(&[(Source::Flag, "profile = 'huge'")]).is_err());
    }

    #[test]
    fn what_is_printed_means_the_same() {
        let text = "profile = 'edge'\nkafka = ['A=127.0.0.1:0', 'b=[::1]:1,advertise=x:2']\n\
            http = 'localhost:9292'\n\
            data.dir = 'a \"folder\" \\ here'\nlog.retention.ms = -1\nallow.unauthenticated = true";
        let settings = load(&[(Source::Environment, text)]).unwrap();
        let printed = settings.to_toml();
        let again = load(&[(Source::File(PathBuf::from("y")), &printed)]).unwrap();
        let bare = |text: &str| -> Vec<String> {
            let before = |line: &str| line.split("  # ").next().unwrap_or_default().to_owned();
            text.lines().map(before).collect()
        };
        assert_eq!(bare(&again.to_toml()), bare(&printed));
        assert_eq!(again.kafka, settings.kafka);
        assert_eq!(again.http, settings.http);
        assert_eq!(again.data_dir, settings.data_dir);
        assert!(again.allow_unauthenticated);
        let values = |config: &BrokerConfig| -> Vec<(&str, String)> {
            config
                .entries()
                .into_iter()
                .map(|entry| (entry.name, entry.value))
                .collect()
        };
        assert_eq!(values(&again.broker), values(&settings.broker));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let file = |text| load(&[(Source::File(PathBuf::from("hw.toml")), text)]).unwrap_err();
        for (text, sentence) in [
            (
                "num.partition = 3",
                "hw.toml: no setting has the name \"num.partition\"; did you mean num.partitions?",
            ),
            (
                "zzz = 3",
                "hw.toml: no setting has the name \"zzz\"; see `highwater serve --print-config`",
            ),
            (
                "num.partitions = 0",
                "hw.toml: the config num.partitions is not valid: \"0\" is not a whole number \
                 from 1 to 10000",
            ),
            (
                "kafka = []",
                "hw.toml: kafka is empty: nobody could connect",
            ),
            ("kafka = 9092", "hw.toml: kafka is a list of texts"),
            ("http = 9292", "hw.toml: \"9292\" is not HOST:PORT"),
            (
                "kafka = 'a:1 b:2'",
                "two listeners without a name: give each a name of its own",
            ),
            (
                "num.partitions = [1]",
                "hw.toml: num.partitions is a text, a number or a boolean",
            ),
        ] {
            let failure = file(text);
            assert_eq!(failure.sentence(), Some(sentence));
            assert_eq!(failure.code(), 2);
        }
    }
}
