//! Routes of new functions: `POST /greetings/{id}`.

use super::name::is_keyword;

/// A method and a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// With `{parameters}`, and perhaps a `{*rest}` at its end.
    pub path: String,
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

impl Route {
    /// # Errors
    /// Why no function can have it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = |why: String| format!("{text:?} is not a route: {why}");
        let form = || refused("'POST /greetings/{id}' is one, a method and a path".to_owned());
        let (method, path) = text.split_once(' ').ok_or_else(form)?;
        if !METHODS.contains(&method) {
            return Err(refused(format!("the method is one of {}", METHODS.join(", "))));
        }
        check(path).map_err(refused)?;
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
        })
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(parameter)
    }

    /// A path that it answers: each parameter is 1.
    pub fn example(&self) -> String {
        let segments = self
            .path
            .split('/')
            .map(|segment| parameter(segment).map_or(segment, |_| "1"));
        segments.collect::<Vec<_>>().join("/")
    }

    /// A command that sends a request to `local`, in a shell with the same `PORT`.
    pub fn curl(&self, curl: &str) -> String {
        let method = if self.method == "GET" {
            String::new()
        } else {
            format!(" -X {}", self.method)
        };
        let body = if self.has_body() {
            " -H 'content-type: application/json' -d '{\"text\": \"good morning\"}'"
        } else {
            ""
        };
        format!(
            "{curl}{method}{body} http://127.0.0.1:${{PORT:-9000}}{}",
            self.example()
        )
    }

    /// Whether its method comes with a body.
    pub fn has_body(&self) -> bool {
        ["POST", "PUT", "PATCH"].contains(&self.method.as_str())
    }
}

/// The name of a parameter: `id` in `{id}` and `{*id}`.
fn parameter(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(name.strip_prefix('*').unwrap_or(name))
}

fn check(path: &str) -> Result<(), String> {
    let segments = path.strip_prefix('/').ok_or("a path begins with /")?;
    if segments.is_empty() {
        return Err("`local` has a page on it".to_owned());
    }
    let segments: Vec<&str> = segments.split('/').collect();
    let mut names = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        check_segment(segment, index + 1 == segments.len())?;
        names.extend(parameter(segment));
    }
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two parameters have the name {}", pair[0]));
    }
    check_cloud_run(path)
}

fn check_segment(segment: &str, is_last: bool) -> Result<(), String> {
    if let Some(name) = parameter(segment) {
        if segment.starts_with("{*") && !is_last {
            return Err(format!("{segment} takes the rest of a path, so nothing follows it"));
        }
        return check_parameter(name);
    }
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
    if segment.is_empty() {
        return Err("a path has no empty segment, and no / at its end".to_owned());
    }
    if [".", ".."].contains(&segment) {
        return Err("clients resolve . and .. before they send a path".to_owned());
    }
    if !segment.bytes().all(is_plain) {
        return Err(format!(
            "the segment {segment:?} has other characters than letters, digits and -._~, or is not one {{parameter}}"
        ));
    }
    Ok(())
}

/// It becomes the field of a struct.
fn check_parameter(name: &str) -> Result<(), String> {
    let is_field = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(is_field) {
        return Err(format!(
            "{name:?} is not the name of a parameter: lower-case letters, digits and _ are"
        ));
    }
    if is_keyword(name) {
        return Err(format!("the parameter {name} has the name of a keyword of Rust"));
    }
    Ok(())
}

/// Cloud Run answers some paths itself (<https://cloud.google.com/run/docs/known-issues#reserved_url_paths>).
fn check_cloud_run(path: &str) -> Result<(), String> {
    if path.ends_with('z') || path == "/eventlog" || path.starts_with("/_ah/") {
        return Err("Cloud Run answers /eventlog, paths below /_ah, and those that end in z itself".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_route_is_refused_with_the_reason() {
        for (route, why) in [
            ("", "a method and a path"),
            ("/orders", "a method and a path"),
            ("post /orders", "the method is one of"),
            ("HEAD /orders", "the method is one of"),
            ("OPTIONS /orders", "the method is one of"),
            ("GET  /orders", "begins with /"),
            ("GET orders", "begins with /"),
            ("GET https://a/b", "begins with /"),
            ("GET /", "has a page on it"),
            ("GET //a", "no empty segment"),
            ("GET /a/", "no empty segment"),
            ("GET /a/../b", "resolve . and .."),
            ("GET /a?b=c", "other characters"),
            ("GET /a#b", "other characters"),
            ("GET /a b", "other characters"),
            ("GET /%41", "other characters"),
            ("GET /ä", "other characters"),
            ("GET /a\nb", "other characters"),
            ("GET /\"", "other characters"),
            ("GET /{id", "other characters"),
            ("GET /id}", "other characters"),
            ("GET /a-{id}", "other characters"),
            ("GET /{a}{b}", "not the name of a parameter"),
            ("GET /{id:[0-9]+}", "not the name of a parameter"),
            ("GET /{}", "not the name of a parameter"),
            ("GET /{Id}", "not the name of a parameter"),
            ("GET /{1}", "not the name of a parameter"),
            ("GET /{type}", "a keyword of Rust"),
            ("GET /{id}/{id}", "two parameters"),
            ("GET /{*rest}/a", "nothing follows it"),
            ("GET /healthz", "Cloud Run"),
            ("GET /_ah/a", "Cloud Run"),
        ] {
            let refused = Route::parse(route).unwrap_err();
            assert!(refused.contains(why), "{route}: {refused}");
        }
    }

    #[test]
    fn a_route_has_an_example_of_each_parameter() {
        let route = Route::parse("PUT /a.b/{id}/~c/{*rest}").unwrap();
        assert_eq!(route.parameters().collect::<Vec<_>>(), ["id", "rest"]);
        assert_eq!(route.example(), "/a.b/1/~c/1");
        let get = Route::parse("GET /orders").unwrap();
        assert_eq!(get.curl("curl"), "curl http://127.0.0.1:${PORT:-9000}/orders");
    }
}
