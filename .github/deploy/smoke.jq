# The requests of a smoke test, from the API document and $routes, the route table: options are lines of curl's configuration,
# expected are statuses with their media types, as the document has them. No request has an effect: only GET is asked for an
# answer, what takes a body gets one that it must refuse, and what is not public is asked without a token first.
# $signed: IAM takes each request for one of this role, which is a caller, too. Where AuthType is NONE, nobody looks at the
# signature, and the function asks for a token.

. as $document
| ["POST", "PUT", "PATCH", "DELETE", "GET"] as $methods
| "application/problem+json" as $problem

# The table writes {*rest} where the document writes {rest}.
| def template: gsub("\\{\\*"; "{");
def function_of($path; $method):
    first($routes[] | select((.path | template) == $path and (.method // $method) == $method) | .function) // null;
def holds_slashes($path; $name): any($routes[].path; template == $path and contains("{*\($name)}"));

def resolved: if has("$ref") then .["$ref"] as $name | $document | getpath($name | ltrimstr("#/") / "/") else . end;
def example:
    [.example, (.examples // {} | first(.[]) | .value), .schema.example, (.schema.examples // [])[0], .schema.default,
        (.schema.enum // [])[0]]
    | map(values) | first;
def header($line): "header = \($line | @json)";

# The required parameters with their examples.
def parameters($path; $item):
    [($item.parameters // [])[], (.parameters // [])[] | resolved | select(.required)
        | {name, in, value: example, keeps: holds_slashes($path; .name)}];
def encoded: (.value | tostring) as $text | if .keeps then [$text / "/" | .[] | @uri] | join("/") else $text | @uri end;
def target($path):
    reduce .[] as $parameter ($path;
        if $parameter.in == "path" then split("{\($parameter.name)}") | join($parameter | encoded) else . end)
    + ([.[] | select(.in == "query") | "\(.name | @uri)=\(.value | tostring | @uri)"] | join("&") | if . == "" then . else "?" + . end);
def headers: [.[] | select(.in == "header") | header("\(.name): \(.value)")];

# The statuses that the document names and that are no failure, each with its media types. What an example names may be gone.
def expected:
    [.responses | to_entries[] | select(.key | test("^([23]|404|410)")) | .key as $status
        | .value | resolved | (.content // {} | keys | if . == [] then [""] else . end)[] | "\($status) \(.)"];
def kind:
    [.responses | to_entries[] | select(.key | startswith("2")) | .value | resolved | .content // {} | keys[]] as $types
    | if $types | index("text/event-stream") then (if .["x-smoke"] == "finite" then "finite stream" else "stream" end)
      elif $types | index("application/health+json") then "report"
      else "answer" end;

# A body of a type that the route does not take, and one that is no JSON: both are refused before the handler runs.
def is_json: test("^application/([^;]+\\+)?json$");
def refusals:
    (.requestBody // {} | resolved | .content // {} | keys) as $types
    | if $types == [] or any($types[]; . == "*/*" or . == "application/octet-stream") then empty
      else {why: "with a body of another type", body: "{", type: "text/x-smoke", status: 415} end,
      if $types != [] and all($types[]; is_json) then {why: "with broken JSON", body: "{", type: $types[0], status: 400} else empty end;

# Without a token, a route that is not public answers a challenge (RFC 9110, section 15.5.2).
def is_protected: .security // $document.security // [] | . != [] and all(. != {});
def sent($method): ["request = \($method | @json)"];
def without_a_token($method):
    {how: "without a token", kind: "challenge", expected: ["401 \($problem)"],
        options: (if $method == "GET" then [] else sent($method) + ["data = \"\""] end)};

def asked($method; $credentials):
    (select($method == "GET") | {kind: kind, expected: expected, options: $credentials}),
    (refusals | {how: .why, kind: "answer", expected: ["\(.status) \($problem)"],
        options: ($credentials + sent($method) + ["data-binary = \(.body | @json)", header("content-type: \(.type)")])});

def requests($method):
    if is_protected | not then asked($method; [])
    elif $signed | not then
        without_a_token($method),
        (($ENV.SMOKE_TOKEN // "" | select(. != "")) as $token
            | asked($method; [header("authorization: Bearer \($token)")]))
    elif $method == "GET" then {kind: kind, expected: (expected + ["401 \($problem)", "403 \($problem)"]), options: []}
    else {kind: "skipped", why: "who signs is a caller"} end;

def operations($path; $item):
    $methods[] as $method | $item[$method | ascii_downcase] | values
    | parameters($path; $item) as $parameters
    | {name: "\($method) \($path)", function: function_of($path; $method), allow: []} as $step
    | if .["x-smoke"] == "skip" then $step + {kind: "skipped", why: "x-smoke says skip"}
      elif any($parameters[]; .value == null) then
        $step + {kind: "refused", why: "the API document has no example of \([$parameters[] | select(.value == null).name] | join(", "))"}
      else
        ($parameters | {target: target($path), options: headers}) as $request
        | requests($method) as $made
        | $step + $request + $made
        + {name: ([$step.name, $made.how | values] | join(" ")), options: ($request.options + ($made.options // []))}
      end;

# A method that the path does not have. Its Content-Length is there even for nothing: Google's front end accepts no other POST.
def undeclared($path; $item):
    [$methods[] | select($item[ascii_downcase])] as $declared
    | ($methods - $declared | first) as $method
    | [$item[$declared[] | ascii_downcase] | parameters($path; $item)[]] as $parameters
    | select($method and all($parameters[]; .value != null))
    | ($declared | group_by(function_of($path; .)))[]
    | {name: "\($method) \($path)", kind: "answer", function: function_of($path; first), allow: .,
        target: ($parameters | map(select(.in == "path")) | target($path)), expected: ["405 \($problem)"],
        options: ["request = \($method | @json)", "data = \"\""]};

# A path of no function.
def pattern: "^\(gsub("\\{\\*[^}]*\\}"; ".+") | gsub("\\{[^}]*\\}"; "[^/]+"))$";
def unknown:
    "/nowhere/smoke" as $target
    | select(any($routes[].path | pattern; . as $pattern | $target | test($pattern)) | not)
    | [$routes[].function] | unique[]
    | {name: "GET \($target)", kind: "answer", function: ., target: $target, options: [], expected: ["404 \($problem)"], allow: []};

# One a line, their fields as the script reads them.
(.paths | to_entries[] | .key as $path | .value as $item | operations($path; $item), undeclared($path; $item)), unknown
| [.name, .kind, .function, .target, .why, (.options // [] | join("\u001e")), "|\(.expected // [] | join("|"))|", (.allow | join(" "))]
| map(. // "") | join("\u001f")
