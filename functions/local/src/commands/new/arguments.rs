//! The arguments of `new`.

use super::{ARGUMENTS as USAGE, route::Route};

/// What the new function is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arguments {
    /// Its name, which is not checked yet.
    pub name: String,
    pub kind: Kind,
    /// It reads rows.
    pub db: bool,
    /// It reads and stores objects.
    pub storage: bool,
    /// Anybody may call it.
    pub public: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It answers requests with JSON.
    Answer(Route),
    /// It answers requests with an event stream.
    Stream(Route),
    /// It has no route.
    Job,
}

impl Arguments {
    /// # Errors
    /// Why there is no such function.
    pub fn parse(arguments: &[&str]) -> Result<Self, String> {
        let (mut name, mut route, mut flags) = (None, None, Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match *argument {
                "--route" if route.is_some() => {
                    return Err("a new function has one route; more are added in its code".to_owned());
                }
                "--route" => route = Some(Route::parse(arguments.next().ok_or("--route has no value")?)?),
                flag @ ("--db" | "--storage" | "--stream" | "--job" | "--public") if !flags.contains(&flag) => {
                    flags.push(flag)
                }
                unknown if unknown.starts_with('-') => {
                    return Err(format!("{unknown} is unknown or there twice: new {USAGE}"));
                }
                text if name.is_none() => name = Some(text.to_owned()),
                text => return Err(format!("{text:?} is a second name: new {USAGE}")),
            }
        }
        let has = |flag| flags.contains(&flag);
        if has("--job") && has("--public") {
            return Err("a job has no route, so that nobody calls it".to_owned());
        }
        let kind = match (route, has("--job"), has("--stream")) {
            (None, true, false) => Kind::Job,
            (Some(route), false, false) => Kind::Answer(route),
            (Some(route), false, true) => Kind::Stream(route),
            (_, true, _) => return Err("a job has no route and no stream".to_owned()),
            (None, false, _) => return Err(format!("a function has a --route, or is a --job: new {USAGE}")),
        };
        Ok(Self {
            name: name.ok_or_else(|| format!("a function has a name: new {USAGE}"))?,
            kind,
            db: has("--db"),
            storage: has("--storage"),
            public: has("--public"),
        })
    }

    /// Whether it has a route for callers with a token. It has unless somebody says otherwise, so that no data is public because
    /// nobody thought of it.
    pub fn has_callers(&self) -> bool {
        self.route().is_some() && !self.public
    }

    /// Its route, if it has one.
    pub fn route(&self) -> Option<&Route> {
        match &self.kind {
            Kind::Answer(route) | Kind::Stream(route) => Some(route),
            Kind::Job => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_make_no_function_are_refused() {
        for (arguments, why) in [
            (&["a"][..], "a function has a --route"),
            (&["--job"], "a function has a name"),
            (&["a", "--route"], "--route has no value"),
            (&["a", "--route", "--db"], "not a route"),
            (&["a", "--route", "GET /a", "--route", "GET /b"], "one route"),
            (&["a", "--route", "GET /a", "--job"], "a job has no route"),
            (&["a", "--job", "--stream"], "a job has no route"),
            (&["a", "--job", "--public"], "a job has no route"),
            (&["a", "--route", "GET /a", "--public", "--public"], "there twice"),
            (&["a", "--stream"], "a function has a --route"),
            (&["a", "b", "--job"], "a second name"),
            (&["a", "--job", "--job"], "there twice"),
            (&["a", "--job", "--queue"], "unknown"),
            (&["a", "-j"], "unknown"),
        ] {
            let refused = Arguments::parse(arguments).unwrap_err();
            assert!(refused.contains(why), "{arguments:?}: {refused}");
        }
        let job = Arguments::parse(&["--db", "a", "--job"]).unwrap();
        assert_eq!((job.has_callers(), job.db, job.storage), (false, true, false));
        assert_eq!(job.kind, Kind::Job);
    }

    #[test]
    fn a_route_is_for_callers_unless_it_is_public() {
        for (arguments, expected) in [
            (&["a", "--route", "GET /a"][..], true),
            (&["a", "--stream", "--route", "GET /a"], true),
            (&["a", "--route", "GET /a", "--public"], false),
        ] {
            assert_eq!(
                Arguments::parse(arguments).unwrap().has_callers(),
                expected,
                "{arguments:?}"
            );
        }
    }
}
