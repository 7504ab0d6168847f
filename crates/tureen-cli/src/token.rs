//! `tureen token`: makes access tokens, and explains them.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Read},
    path::PathBuf,
    time::Duration,
};

use clap::Subcommand;
use tureen_server::{
    ServerConfig,
    access::{ApiSecret, AuthConfig, Claims, Seconds, Verifier, VideoGrant, read_unverified, sign, unix_now},
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  tureen token create --config tureen.toml --room lunch --identity alice --name Alice
      A token for an hour. Open https://HOST:4443/?roomId=lunch#access_token=TOKEN with it.
  tureen token create --keys-file keys --room lunch --identity viewer --no-publish --ttl 10m
  tureen token verify --config tureen.toml TOKEN
      Says what a token allows, and if the server of this configuration would take it.

The secrets of API keys are those of [auth] in the file of --config, of --keys-file, or of TUREEN_API_KEY and
TUREEN_API_SECRET.";

/// Time in which a JWKS has to come.
const JWKS_TIME: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token, signed with an API key
    Create(Box<Create>),
    /// Explain a token, and check it
    Verify(Verify),
}

/// Where the keys are.
#[derive(clap::Args)]
struct Keys {
    /// Configuration of the server, whose section auth has the keys
    #[arg(long, value_name = "FILE", env = "TUREEN_CONFIG")]
    config: Option<PathBuf>,

    /// File with a line "key: secret" for each API key
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    keys: Keys,

    /// API key to sign with [default: the only one]
    #[arg(long, value_name = "KEY", env = "TUREEN_API_KEY")]
    api_key: Option<String>,

    /// Room of the rights [default: every room may be joined]
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,

    /// Identity: the participant's id in the room
    #[arg(long, value_name = "ID")]
    identity: Option<String>,

    /// Display name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Time until it expires, such as 90s, 30m, 6h, 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime)]
    ttl: Duration,

    /// Text of the application
    #[arg(long, value_name = "TEXT")]
    metadata: Option<String>,

    /// Text of the application by name; may be repeated
    #[arg(long, value_name = "NAME=TEXT", value_parser = attribute)]
    attribute: Vec<(String, String)>,

    /// Without the right to send media
    #[arg(long, help_heading = "Rights")]
    no_publish: bool,

    /// Without the right to receive
    #[arg(long, help_heading = "Rights")]
    no_subscribe: bool,

    /// Without the right to send data
    #[arg(long, help_heading = "Rights")]
    no_publish_data: bool,

    /// Source that may be sent; may be repeated [default: all]
    #[arg(
        long,
        value_name = "SOURCE",
        value_parser = ["camera", "microphone", "screen_share", "screen_share_audio"],
        help_heading = "Rights"
    )]
    source: Vec<String>,

    /// May change its own name
    #[arg(long, help_heading = "Rights")]
    can_update_own_metadata: bool,

    /// Others are not told of it
    #[arg(long, help_heading = "Rights")]
    hidden: bool,

    /// It records
    #[arg(long, help_heading = "Rights")]
    recorder: bool,

    /// Without the right to be in the room, for tools that only moderate or list
    #[arg(long, help_heading = "Rights")]
    no_join: bool,

    /// May moderate the room
    #[arg(long, requires = "room", help_heading = "Rights")]
    room_admin: bool,

    /// May make and delete rooms
    #[arg(long, help_heading = "Rights")]
    room_create: bool,

    /// May list rooms
    #[arg(long, help_heading = "Rights")]
    room_list: bool,

    /// May record rooms
    #[arg(long, help_heading = "Rights")]
    room_record: bool,
}

#[derive(clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    keys: Keys,

    /// The token; without it standard input is read, so that it need not be in the list of processes
    token: Option<String>,
}

/// Runs `tureen token …`.
pub(crate) fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Create(asked) => {
            println!("{}", asked.run()?);
            Ok(())
        }
        Command::Verify(asked) => asked.run(),
    }
}

impl Keys {
    /// `[auth]` of the configuration, with the keys of the other places.
    fn load(&self) -> Result<Option<AuthConfig>, Box<dyn Error>> {
        let mut auth = match &self.config {
            Some(path) => ServerConfig::from_file(path)?.auth,
            None => None,
        };
        if let Some(path) = &self.keys_file {
            auth.get_or_insert_default().keys_file = Some(path.clone());
        }
        if let (Ok(key), Ok(secret)) = (std::env::var("TUREEN_API_KEY"), std::env::var("TUREEN_API_SECRET")) {
            auth.get_or_insert_default().keys.insert(key, ApiSecret::new(secret));
        }
        Ok(auth)
    }
}

impl Create {
    fn run(&self) -> Result<String, Box<dyn Error>> {
        let auth = self.keys.load()?.ok_or("no API key: give --config, --keys-file or TUREEN_API_SECRET")?;
        let keys = auth.api_keys()?;
        let (key, secret) = match &self.api_key {
            Some(wanted) => {
                let found = keys.iter().find(|(key, _)| key == wanted);
                found.ok_or_else(|| format!("there is no API key \"{wanted}\""))?
            }
            None => match &keys[..] {
                [only] => only,
                keys => {
                    return Err(format!("there are {} API keys: choose one by --api-key", keys.len()).into());
                }
            },
        };
        Ok(sign(&self.claims(key, unix_now())?, secret)?)
    }

    fn claims(&self, key: &str, now: i64) -> Result<Claims, String> {
        let join = !self.no_join;
        if join && self.identity.is_none() {
            return Err("--identity is needed to join (or --no-join)".to_owned());
        }
        let no = |is_no: bool| is_no.then_some(false);
        let ttl = i64::try_from(self.ttl.as_secs()).map_err(|error| error.to_string())?;
        Ok(Claims {
            iss: Some(key.to_owned()),
            sub: self.identity.clone(),
            aud: None,
            exp: Some(Seconds(now.saturating_add(ttl))),
            nbf: Some(Seconds(now)),
            iat: Some(Seconds(now)),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            attributes: (!self.attribute.is_empty()).then(|| self.attribute.iter().cloned().collect()),
            video: Some(VideoGrant {
                room: self.room.clone(),
                room_join: join,
                room_create: self.room_create,
                room_list: self.room_list,
                room_record: self.room_record,
                room_admin: self.room_admin,
                can_publish: no(self.no_publish),
                can_subscribe: no(self.no_subscribe),
                can_publish_data: no(self.no_publish_data),
                can_publish_sources: (!self.source.is_empty()).then(|| self.source.clone()),
                can_update_own_metadata: self.can_update_own_metadata.then_some(true),
                hidden: self.hidden,
                recorder: self.recorder,
            }),
        })
    }
}

impl Verify {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => {
                let mut text = String::new();
                io::stdin().take(1 << 20).read_to_string(&mut text)?;
                text
            }
        };
        let token = token.trim();
        let auth = self.keys.load()?;
        let (head, claims) = read_unverified(token)?;
        let now = unix_now();
        println!("{head}\n{}\n\n{}", serde_json::to_string_pretty(&claims)?, explain(&claims, now));
        let Some(auth) = auth else {
            println!("signature   not checked: no keys were given (--config, --keys-file)");
            return Ok(());
        };
        check(&auth, token, now)?;
        println!("signature   good");
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn check(auth: &AuthConfig, token: &str, now: i64) -> Result<(), Box<dyn Error>> {
    let verifier = Verifier::start(auth)?;
    // Without a JWKS this waits for nothing; one that does not come is named by the check.
    let _ = tokio::time::timeout(JWKS_TIME, verifier.ready()).await;
    match verifier.check(token, now) {
        Ok(_claims) => Ok(()),
        Err(error) => Err(format!("the server would refuse it: {error}").into()),
    }
}

/// What a token allows, in words.
fn explain(claims: &Claims, now: i64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11} {value}");
    };
    let none = "(none)".to_owned();
    line("issuer", claims.iss.clone().unwrap_or_else(|| none.clone()));
    line("identity", claims.sub.clone().unwrap_or_else(|| none.clone()));
    line("name", claims.name.clone().unwrap_or_else(|| "(the participant's choice)".to_owned()));
    line(
        "expires",
        claims.exp.map_or("never, so that it is refused".to_owned(), |Seconds(exp)| relative(exp, now)),
    );
    if let Some(Seconds(nbf)) = claims.nbf {
        line("valid from", relative(nbf, now));
    }
    let Some(grant) = &claims.video else {
        line("allows", "nothing: it has no claim video".to_owned());
        return text;
    };
    line("room", grant.room().map_or("any".to_owned(), str::to_owned));
    let publish = grant.can_publish.unwrap_or(true) && !grant.hidden;
    let publish_data = grant.can_publish_data.unwrap_or(publish) && !grant.hidden;
    let sources = match grant.can_publish_sources.as_deref().unwrap_or_default() {
        [] => "send media".to_owned(),
        sources => format!("send {}", sources.join(", ")),
    };
    let rights = [
        (grant.room_join, "join"),
        (grant.room_join && publish, sources.as_str()),
        (grant.room_join && publish_data, "send data"),
        (grant.room_join && grant.can_subscribe.unwrap_or(true), "receive"),
        (grant.room_join && grant.can_update_own_metadata.unwrap_or(false), "change its name"),
        (grant.room_admin && grant.room().is_some(), "moderate the room"),
        (grant.room_create, "make and delete rooms"),
        (grant.room_list, "list rooms"),
        (grant.room_record, "record rooms"),
    ];
    let given: Vec<_> = rights.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect();
    line("allows", if given.is_empty() { "nothing".to_owned() } else { given.join("; ") });
    if grant.hidden {
        line("hidden", "others are not told of it, and it can't send".to_owned());
    }
    text
}

/// A time as seconds since 1970, and how far it is from now.
fn relative(at: i64, now: i64) -> String {
    let seconds = at.saturating_sub(now);
    let whole = seconds.unsigned_abs();
    let span = match whole {
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min", whole / 60),
        7200..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} days", whole / 86_400),
    };
    match seconds {
        ..0 => format!("{at} ({span} ago)"),
        0.. => format!("{at} (in {span})"),
    }
}

/// Reads `90s`, `30m`, `6h`, `7d`, or a number of seconds.
fn lifetime(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        unit => return Err(format!("unit \"{unit}\" is none of s, m, h, d")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("\"{digits}\" is no number"))?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds > 0 && *seconds <= 10 * 365 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| "must be 1 s to 10 years".to_owned())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is no NAME=TEXT")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        create: Create,
    }

    fn create(flags: &[&str]) -> Result<Claims, String> {
        let flags = ["create"].iter().chain(flags);
        Cli::try_parse_from(flags).unwrap().create.claims("devkey", 1000)
    }

    #[test]
    fn rights_that_are_not_taken_away_are_left_out() {
        let claims = create(&["--room", "lunch", "--identity", "alice", "--ttl", "30m"]).unwrap();
        assert_eq!(
            serde_json::to_string(&claims).unwrap(),
            r#"{"iss":"devkey","sub":"alice","exp":2800,"nbf":1000,"iat":1000,"video":{"room":"lunch","roomJoin":true}}"#
        );
        let claims = create(&["--identity", "a", "--no-publish", "--source", "camera", "--hidden"]).unwrap();
        let grant = claims.video.unwrap();
        assert_eq!((grant.can_publish, grant.hidden, grant.room), (Some(false), true, None));
        assert!(create(&["--room", "lunch"]).unwrap_err().contains("--identity"));
        create(&["--room", "lunch", "--no-join", "--room-admin"]).unwrap();
    }

    #[test]
    fn lifetimes_have_a_unit_and_a_bound() {
        assert_eq!(lifetime("6h"), Ok(Duration::from_secs(21_600)));
        assert_eq!(lifetime("90"), Ok(Duration::from_secs(90)));
        for wrong in ["", "h", "0s", "6w", "-1h", "99999999999999999999d", "9999999999999d", "1.5h"] {
            lifetime(wrong).unwrap_err();
        }
    }

    #[test]
    fn an_explanation_says_what_is_allowed_and_for_how_long() {
        let claims =
            create(&["--room", "lunch", "--identity", "alice", "--no-publish", "--room-admin"]).unwrap();
        let text = explain(&claims, 1000);
        for part in ["identity    alice", "4600 (in 60 min)", "join; receive; moderate the room"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(explain(&Claims::default(), 1000).contains("never, so that it is refused"));
    }
}
