//! Reads configuration from the environment into real types and collects every mistake, so that
//! an operator sees all of them at once, each by the name of its variable. It does not know which
//! variables a service has.

use std::{collections::HashMap, env, fmt, fs, path::PathBuf, str::FromStr};

use secrecy::SecretString;
use url::{Host, Url};

/// The variables of the process, and the mistakes found in them so far.
///
/// Every getter answers `None` when it has recorded a mistake; [`Environment::finish`] turns the
/// record into an error. A variable that is set but empty counts as not set, because that is how
/// Compose and Kubernetes pass on what they do not have.
pub struct Environment {
    variables: HashMap<String, String>,
    mistakes: Vec<Mistake>,
}

/// One variable and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    variable: String,
    problem: String,
}

/// Everything that is wrong with the configuration. It displays as one line a mistake.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s):", self.0.len())?;
        for Mistake { variable, problem } in &self.0 {
            write!(f, "\n  {variable}: {problem}")?;
        }
        Ok(())
    }
}

impl Environment {
    /// The environment of this process, after the variables of a `.env` file in the working
    /// directory, where there is one. Call it before any thread starts, for it may set variables.
    #[must_use]
    pub fn of_process() -> Self {
        let dotenv = dotenvy::dotenv();
        let mut environment = Self::from_pairs(
            env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        );
        if let Err(error) = dotenv
            && !error.not_found()
        {
            environment.mistake(".env", "the file cannot be read or parsed");
        }
        environment
    }

    /// An environment of just these variables, for tests.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { variables, mistakes: Vec::new() }
    }

    /// Records that `variable` is wrong.
    pub fn mistake(&mut self, variable: &str, problem: impl Into<String>) {
        self.mistakes.push(Mistake { variable: variable.to_owned(), problem: problem.into() });
    }

    /// The text of a variable, or `None` where it is not set or empty.
    #[must_use]
    pub fn optional(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The text of a variable that must be set.
    pub fn required(&mut self, variable: &str) -> Option<String> {
        let value = self.optional(variable).map(ToOwned::to_owned);
        if value.is_none() {
            self.mistake(variable, "is not set");
        }
        value
    }

    /// The value of a variable, or of `default` where it is not set.
    pub fn or<T: FromStr>(&mut self, variable: &str, default: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        let text = self.optional(variable).unwrap_or(default).to_owned();
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(variable, format!("{text:?} is not valid: {error}"));
                None
            }
        }
    }

    /// The words of a variable, or of `default` where it is not set at all. Here an empty variable
    /// means no words, for it may be meant to take a default away.
    #[must_use]
    pub fn words<T: FromIterator<String>>(&self, variable: &str, default: &str) -> T {
        let text = self.variables.get(variable).map_or(default, String::as_str);
        text.split_whitespace().map(ToOwned::to_owned).collect()
    }

    /// An http or https URL that must be set.
    pub fn url(&mut self, variable: &str) -> Option<Url> {
        let text = self.required(variable)?;
        self.parse_url(variable, &text)
    }

    /// One http or https URL or several, separated by commas, that must be set.
    pub fn urls(&mut self, variable: &str) -> Option<Vec<Url>> {
        let texts = self.required(variable)?;
        texts.split(',').map(|text| self.parse_url(variable, text.trim())).collect()
    }

    fn parse_url(&mut self, variable: &str, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            Ok(_) => {
                self.mistake(variable, format!("{text:?} is not an http or https URL"));
                None
            }
            Err(error) => {
                self.mistake(variable, format!("{text:?} is not a URL: {error}"));
                None
            }
        }
    }

    /// A secret from `variable`, or from the file that `variable` with the suffix `_FILE` names.
    /// One of the two must be set. A line break at the end of the file is not part of the secret.
    pub fn secret(&mut self, variable: &str) -> Option<SecretString> {
        let file_variable = format!("{variable}_FILE");
        let direct = self.optional(variable).map(ToOwned::to_owned);
        let path = self.optional(&file_variable).map(ToOwned::to_owned);
        match (direct, path) {
            (Some(_), Some(_)) => {
                self.mistake(variable, format!("is set twice, here and in {file_variable}"));
                None
            }
            (Some(secret), None) => Some(SecretString::from(secret)),
            (None, Some(path)) => match fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => {
                    self.mistake(&file_variable, format!("the file {path:?} is empty"));
                    None
                }
                Ok(text) => Some(SecretString::from(text.trim_end_matches(['\r', '\n']))),
                Err(error) => {
                    self.mistake(&file_variable, format!("cannot read {path:?}: {error}"));
                    None
                }
            },
            (None, None) => {
                self.mistake(variable, format!("is not set, nor is {file_variable}"));
                None
            }
        }
    }

    /// The path of a file that must be named, be there, and hold what `parse` understands.
    pub fn file<T, E: fmt::Display>(
        &mut self,
        variable: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Option<PathBuf> {
        let path = self.required(variable)?;
        let problem = match fs::read(&path) {
            Ok(content) => parse(&content).err().map(|error| format!("{path:?}: {error}")),
            Err(error) => Some(format!("cannot read {path:?}: {error}")),
        };
        match problem {
            None => Some(path.into()),
            Some(problem) => {
                self.mistake(variable, problem);
                None
            }
        }
    }

    /// The issuer of tokens: `AUTH0_ISSUER_URL` where set, else `https://` and `AUTH0_DOMAIN`.
    /// It always ends in a slash, as Auth0's does.
    pub fn issuer(&mut self) -> Option<Url> {
        let (variable, text) = if let Some(url) = self.optional("AUTH0_ISSUER_URL") {
            ("AUTH0_ISSUER_URL", url.to_owned())
        } else if let Some(domain) = self.optional("AUTH0_DOMAIN") {
            if domain.contains(['/', ':', '@', '?', '#']) {
                let problem = format!("{domain:?} is not a bare host name; use AUTH0_ISSUER_URL");
                self.mistake("AUTH0_DOMAIN", problem);
                return None;
            }
            ("AUTH0_DOMAIN", format!("https://{domain}"))
        } else {
            self.mistake("AUTH0_DOMAIN", "is not set, nor is AUTH0_ISSUER_URL");
            return None;
        };
        let mut url = self.parse_url(variable, &text)?;
        if url.scheme() == "http" && !is_loopback(&url) {
            let problem = "plain http is for localhost only: whoever is on the way could sign \
                           tokens of their own; use https";
            self.mistake(variable, problem);
            return None;
        }
        if url.query().is_some() || url.fragment().is_some() {
            self.mistake(variable, format!("{text:?} has a query or a fragment"));
            return None;
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Some(url)
    }

    /// The configuration, if no mistake was made in it. `configuration` is `None` only where a
    /// getter answered `None`.
    ///
    /// # Errors
    /// All mistakes that were recorded.
    pub fn finish<T>(self, configuration: Option<T>) -> Result<T, Mistakes> {
        match configuration {
            Some(configuration) if self.mistakes.is_empty() => Ok(configuration),
            _ => Err(Mistakes(self.mistakes)),
        }
    }
}

/// Whether a URL leads to this machine, so that nobody is on the way. Browsers and RFC 6761 take all
/// names below `localhost` for it.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn every_mistake_is_named_by_its_variable() {
        let mut env = Environment::from_pairs([
            ("APP_BASE_URL", "not a url"),
            ("CLIENT_SECRET_FILE", "/does/not/exist"),
            ("PORT", "70000"),
            ("EMPTY", " "),
        ]);

        let found = (
            env.required("CLIENT_ID"),
            env.required("EMPTY"),
            env.url("APP_BASE_URL"),
            env.secret("CLIENT_SECRET").map(|_| ()),
            env.or::<u16>("PORT", "80"),
            env.issuer(),
        );
        let error = env.finish(None::<()>).unwrap_err().to_string();

        assert_eq!(found, (None, None, None, None, None, None));
        let lines = [
            "6 mistake(s)",
            "\n  CLIENT_ID: is not set",
            "\n  EMPTY: is not set",
            "\n  APP_BASE_URL: \"not a url\" is not a URL",
            "\n  CLIENT_SECRET_FILE: cannot read \"/does/not/exist\"",
            "\n  PORT: \"70000\" is not valid",
            "\n  AUTH0_DOMAIN: is not set, nor is AUTH0_ISSUER_URL",
        ];
        for line in lines {
            assert!(error.contains(line), "{line:?} is not in:\n{error}");
        }
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_last_line_break() {
        let path = env::temp_dir().join(format!("service-kit-secret-{}", std::process::id()));
        fs::write(&path, "s3cret\n").unwrap();

        let mut env = Environment::from_pairs([("KEY_FILE", path.to_str().unwrap())]);
        let secret = env.secret("KEY").unwrap();

        assert_eq!(secret.expose_secret(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_issuer_without_tls_is_refused_unless_it_is_on_this_machine() {
        for (issuer, good) in [
            ("http://id.example", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1:4000", true),
            ("http://auth0.localhost:4000", true),
        ] {
            let mut env = Environment::from_pairs([("AUTH0_ISSUER_URL", issuer)]);
            assert_eq!(env.issuer().is_some(), good, "{issuer}");
        }
    }

    #[test]
    fn the_issuer_ends_in_a_slash_however_it_is_written() {
        let cases = [
            ("AUTH0_DOMAIN", "tenant.eu.auth0.com", "https://tenant.eu.auth0.com/"),
            ("AUTH0_ISSUER_URL", "http://localhost:4000", "http://localhost:4000/"),
            ("AUTH0_ISSUER_URL", "https://id.example/base", "https://id.example/base/"),
        ];
        for (variable, value, issuer) in cases {
            let mut env = Environment::from_pairs([(variable, value)]);
            assert_eq!(env.issuer().unwrap().as_str(), issuer);
        }
    }
}
