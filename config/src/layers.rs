//! Where settings come from. Later layers win, key by key.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::SettingsError;
use crate::values::Label;

/// Environment variables that are settings start with it: `CFGW_SECTION__KEY`.
pub const ENV_PREFIX: &str = "CFGW_";

/// Stands between section and key in the name of a variable.
const ENV_SEPARATOR: &str = "__";

pub(crate) struct Layer {
    metadata: Metadata,
    settings: Dict,
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.settings.clone())]))
    }
}

/// What holds where nothing is set.
pub(crate) fn defaults(settings: &impl Serialize) -> Layer {
    let value = Value::serialize(settings).expect("settings are maps of text and numbers");
    Layer {
        metadata: Metadata::named("the defaults"),
        settings: value.into_dict().expect("settings are a map"),
    }
}

/// A YAML file that must be there.
pub(crate) fn file(path: &Path) -> Result<Layer, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let settings: Option<Dict> =
        serde_saphyr::from_str(&text).map_err(|error| SettingsError::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    Ok(Layer {
        metadata: Metadata::named(format!("the file {}", path.display())),
        settings: settings.unwrap_or_default(),
    })
}

/// Variables that start with [`ENV_PREFIX`]. An empty one counts as not set. Kubernetes sets variables
/// for every Service in a pod's namespace (`CFGW_PORT`, `CFGW_SERVICE_HOST` for one called `cfgw`); those
/// are passed over.
pub(crate) fn environment(variables: impl Iterator<Item = (String, String)>) -> Layer {
    let ours: BTreeMap<String, String> = variables
        .filter(|(name, value)| !value.is_empty() && !is_service_link(name))
        .filter_map(|(name, value)| {
            Some((name.strip_prefix(ENV_PREFIX)?.to_ascii_lowercase(), value))
        })
        .collect();
    let mut settings = Dict::new();
    for (name, value) in ours {
        let path: Vec<_> = name.split(ENV_SEPARATOR).collect();
        insert(&mut settings, &path, value);
    }
    let metadata = Metadata::named("the environment").interpolater(|_: &Profile, keys: &[&str]| {
        let name = keys.join(ENV_SEPARATOR).to_ascii_uppercase();
        format!("the environment variable {ENV_PREFIX}{name}")
    });
    Layer { metadata, settings }
}

/// A text where a section belongs stays, so that it is reported.
fn insert(settings: &mut Dict, path: &[&str], value: String) {
    match path {
        [] => {}
        [key] => {
            settings.insert((*key).to_owned(), Value::from(value));
        }
        [section, rest @ ..] => {
            let section = settings
                .entry((*section).to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = section {
                insert(inner, rest, value);
            }
        }
    }
}

/// Kubernetes, "Environment variables" of Services: `X_SERVICE_HOST`, `X_SERVICE_PORT…`, `X_PORT`,
/// `X_PORT_80_TCP…`. No setting is called so: those in sections have the separator in their names.
fn is_service_link(name: &str) -> bool {
    let numbered_port = || {
        let after = name.split("_PORT_").nth(1);
        after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    !name.contains(ENV_SEPARATOR)
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name.ends_with("_PORT")
            || numbered_port())
}

/// Flags of the command line.
pub(crate) fn flags(flags: &impl Serialize) -> Result<Layer, SettingsError> {
    let value = Value::serialize(flags).map_err(|e| SettingsError::Flags(e.to_string()))?;
    let settings = match value {
        Value::Dict(_, dict) => without_nothing(dict),
        Value::Empty(..) => Dict::new(),
        other => return Err(SettingsError::Flags(format!("found {}", other.to_actual()))),
    };
    Ok(Layer {
        metadata: Metadata::named("the command line"),
        settings,
    })
}

/// Drops what was not given, so that it does not hide what other layers say.
fn without_nothing(dict: Dict) -> Dict {
    let given = |value| match value {
        Value::Empty(..) => None,
        Value::Dict(tag, inner) => Some(Value::Dict(tag, without_nothing(inner))),
        other => Some(other),
    };
    dict.into_iter()
        .filter_map(|(key, value)| Some((key, given(value)?)))
        .collect()
}

/// All settings of a program.
pub trait ProgramSettings: Default + Serialize + DeserializeOwned {
    /// What no single value can tell: keys that are needed, and keys that must fit each other.
    #[doc(hidden)]
    fn check(&self, figment: &Figment) -> Result<(), SettingsError>;

    /// Everything that is wrong, where [`Self::load`] says the first of it. A setting that is wrong is left out for
    /// those after it, so that one fault does not hide another.
    fn faults(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        given: impl Serialize,
    ) -> Vec<SettingsError> {
        let mut faults = Vec::new();
        let mut layers = Vec::new();
        match path.map(file).transpose() {
            Ok(layer) => layers.extend(layer),
            Err(fault) => faults.push(fault),
        }
        layers.push(environment(env));
        match flags(&given) {
            Ok(layer) => layers.push(layer),
            Err(fault) => faults.push(fault),
        }
        while faults.len() < MOST_FAULTS {
            let mut figment = Figment::from(&defaults(&Self::default()));
            for layer in &layers {
                figment = figment.merge(layer);
            }
            let read = figment.extract::<Self>();
            let read = read.map_err(|error| {
                SettingsError::from_figment(error, |key| origin_of(&figment, key))
            });
            let (fault, is_last) = match read {
                Ok(settings) => (settings.check(&figment).err(), true),
                Err(fault) => (Some(fault), false),
            };
            let key = fault
                .as_ref()
                .and_then(SettingsError::key)
                .map(str::to_owned);
            faults.extend(fault);
            // What is not set, or does not fit another setting, is told once.
            let left_out = key.is_some_and(|key| leave_out(&mut layers, &key));
            if is_last || !left_out {
                break;
            }
        }
        faults
    }

    /// Puts the layers together: defaults, then the file, then the environment, then the flags.
    ///
    /// `env` is the whole environment (`std::env::vars()` in a program); what is not ours in it is passed
    /// over. `given` is a struct of the same shape as these settings, as far as there are flags; `None`
    /// in it means that the flag was not given.
    fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        given: impl Serialize,
    ) -> Result<Self, SettingsError> {
        let mut figment = Figment::from(&defaults(&Self::default()));
        if let Some(path) = path {
            figment = figment.merge(&file(path)?);
        }
        let figment = figment.merge(&environment(env)).merge(&flags(&given)?);
        let settings: Self = figment
            .extract()
            .map_err(|error| SettingsError::from_figment(error, |key| origin_of(&figment, key)))?;
        settings.check(&figment)?;
        Ok(settings)
    }
}

/// Faults that are told at most.
const MOST_FAULTS: usize = 64;

/// Takes a setting out of every layer. Whether it was in one.
fn leave_out(layers: &mut [Layer], key: &str) -> bool {
    let path: Vec<&str> = key.split('.').collect();
    let mut found = false;
    for layer in layers {
        found |= take_out(&mut layer.settings, &path);
    }
    found
}

fn take_out(settings: &mut Dict, path: &[&str]) -> bool {
    match path {
        [] => false,
        [key] => settings.remove(*key).is_some(),
        [section, rest @ ..] => match settings.get_mut(*section) {
            Some(Value::Dict(_, inner)) => take_out(inner, rest),
            Some(_) => settings.remove(*section).is_some(),
            None => false,
        },
    }
}

/// Each of these files must be there, if it is named.
pub(crate) fn check_files(
    figment: &Figment,
    files: &[(&str, Option<&Path>)],
) -> Result<(), SettingsError> {
    for (key, path) in files {
        if let Some(path) = path.filter(|path| !path.is_file()) {
            let problem = format!("{} is not a file; name one that exists", path.display());
            return Err(wrong(figment, key, problem));
        }
    }
    Ok(())
}

/// A key that has no value of its own must have one here.
pub(crate) fn needed(key: &str, is_set: bool, why: &str) -> Result<(), SettingsError> {
    match is_set {
        true => Ok(()),
        false => Err(missing(key, why)),
    }
}

fn missing(key: &str, why: &str) -> SettingsError {
    SettingsError::Missing {
        key: key.to_owned(),
        why: why.to_owned(),
        remedy: format!("set it in the settings file, or as {}", variable(key)),
    }
}

pub(crate) fn variable(key: &str) -> String {
    let name = key.to_ascii_uppercase().replace('.', ENV_SEPARATOR);
    format!("{ENV_PREFIX}{name}")
}

/// The name of an installation has no default: two with the same one would be told apart by nobody who reads it.
pub(crate) fn installation_name(installation: Option<&Label>) -> Result<&Label, SettingsError> {
    let why = "name this installation, such as `my-cluster`, as no other in the Cloudflare account is named";
    installation.ok_or_else(|| missing("installation", why))
}

/// A value that does not fit what else is set.
pub(crate) fn wrong(figment: &Figment, key: &str, problem: String) -> SettingsError {
    SettingsError::WrongValue {
        key: key.to_owned(),
        origin: origin_of(figment, key),
        problem,
    }
}

/// The source of a key, in words.
pub(crate) fn origin_of(figment: &Figment, key: &str) -> String {
    let Some(metadata) = figment.find_metadata(key) else {
        return "an unknown source".to_owned();
    };
    if metadata.name == "the environment" {
        let keys: Vec<_> = key.split('.').collect();
        return metadata.interpolate(figment.profile(), &keys);
    }
    metadata.name.to_string()
}
