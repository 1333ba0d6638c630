//! The proxy by which the person's own programs reach the outside.
//!
//! Owns which variables name it. Does not own how it is spoken to (`gateway`).

use gateway::Via;

use crate::failure::Failure;
use crate::toolchains::Environment;

/// Variables that name it, as programs read them, and in their order.
const NAMED: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// Variables that say what is reached without it.
const EXCEPT: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy of the person's environment, if there is one.
///
/// # Errors
/// There is one that cannot be used: nothing goes another way because of that.
pub fn of(environment: &Environment) -> Result<Option<Via>, Failure> {
    let first = |names: &'static [&'static str]| {
        let values = names.iter().filter_map(|name| Some((*name, environment.variables.get(*name)?)));
        values.into_iter().find(|(_, value)| !value.is_empty())
    };
    let Some((name, url)) = first(&NAMED) else { return Ok(None) };
    let except = first(&EXCEPT).map_or("", |(_, value)| value);
    Via::new(url, except).map(Some).map_err(|error| {
        Failure::of(&error)
            .during(format!("could not use the proxy that {name} names"))
            .hint(format!("set {name} to one that is reached by http://, or take it away"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Option<String>, Failure> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = Environment { variables: variables.collect(), ..Environment::default() };
        of(&environment).map(|via| via.map(|via| via.name().to_owned()))
    }

    #[test]
    fn the_persons_proxy_is_the_one_that_their_programs_use() {
        assert_eq!(with(&[("HTTP_PROXY", "http://127.0.0.1:1"), ("https_proxy", "")]).unwrap(), None);
        let both = [("ALL_PROXY", "http://127.0.0.1:1"), ("HTTPS_PROXY", "127.0.0.1:2")];
        assert_eq!(with(&both).unwrap().as_deref(), Some("127.0.0.1:2"));
        let refused = with(&[("ALL_PROXY", "socks5://me:hunter2@127.0.0.1:1")]).unwrap_err();
        let told = format!("{refused:?}");
        assert!(told.contains("ALL_PROXY") && !told.contains("hunter2"), "{told}");
    }
}
