//! Which lines the agent's log has, as users type it.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Parses a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or levels by module such as
/// `info,telnet_user::sink=debug`.
///
/// # Errors
///
/// When it is neither. A name without a level is an error too: [`EnvFilter`] takes it for a module,
/// so that a misspelt level would silence everything.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    let bare = |directive: &&str| !directive.is_empty() && !directive.contains('=');
    let mut bare = text.split(',').map(str::trim).filter(bare);
    if let Some(name) = bare.find(|name| name.parse::<LevelFilter>().is_err()) {
        return Err(format!("\"{}\" is no level", name.escape_default()));
    }
    EnvFilter::try_new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_and_levels_by_module_are_filters() {
        for text in ["info", "WARN", "off", "info,telnet_user::sink=debug"] {
            assert!(filter(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_would_silence_the_log_is_refused() {
        for (text, expected) in [
            ("waring", "\"waring\" is no level"),
            ("telnet_user", "\"telnet_user\" is no level"),
            ("info,debgu", "\"debgu\" is no level"),
            ("a\u{1b}b", "\"a\\u{1b}b\" is no level"),
            ("info,agent=loud", "error parsing level filter"),
        ] {
            let error = filter(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
