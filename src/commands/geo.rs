//! Handlers: places, kept as sorted sets. What places are is in [`crate::store::geo`].

use super::arguments::integer;
use super::context::{Cx, Outcome};
use super::zset;
use crate::base::double::parse_double;
use crate::base::number::Decimal;
use crate::resp::{Reply, ReplyError};
use crate::store::ValueType;
use crate::store::geo::{Area, Place, Shape};
use crate::store::zset::{Gathering, ScoreRange, ZsetRef};

fn number(text: &[u8], error: &'static str) -> Result<f64, ReplyError> {
    parse_double(text).ok_or(ReplyError::of(error))
}

/// Longitude and latitude.
fn place(args: &[&[u8]]) -> Result<Place, ReplyError> {
    let degrees = |text: &[u8]| parse_double(text).ok_or(ReplyError::NotAFloat);
    let place = Place { longitude: degrees(args[0])?, latitude: degrees(args[1])? };
    place.checked().ok_or_else(|| {
        let Place { longitude, latitude } = place;
        ReplyError::Text(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into())
    })
}

/// How many metres a unit has.
fn unit(text: &[u8]) -> Result<f64, ReplyError> {
    let units: [(&[u8], f64); 4] = [(b"m", 1.0), (b"km", 1000.0), (b"ft", 0.3048), (b"mi", 1609.34)];
    let found = units.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, metres)| metres).ok_or(ReplyError::of("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// A radius with its unit: the circle, and the unit in metres.
fn circle(args: &[&[u8]]) -> Result<(Shape, f64), ReplyError> {
    let radius = number(args[0], "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(ReplyError::of("ERR radius cannot be negative"));
    }
    let unit_m = unit(args[1])?;
    Ok((Shape::Circle { radius_m: radius * unit_m }, unit_m))
}

/// Width and height with their unit.
fn rectangle(args: &[&[u8]]) -> Result<(Shape, f64), ReplyError> {
    let width = number(args[0], "ERR need numeric width")?;
    let height = number(args[1], "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(ReplyError::of("ERR height or width cannot be negative"));
    }
    let unit_m = unit(args[2])?;
    Ok((Shape::Box { width_m: width * unit_m, height_m: height * unit_m }, unit_m))
}

/// A distance with four digits after the point, ties to even.
fn reply_distance(reply: &mut Reply<'_>, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as u64;
    reply.bulk_text(&format!("{}.{:04}", scaled / 10_000, scaled % 10_000));
}

fn reply_place(reply: &mut Reply<'_>, place: Place) {
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        reply.double_text(if text == "-0" { "0" } else { text });
    }
}

/// GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]
pub fn geoadd(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let is_option = |text: &&&[u8]| [&b"NX"[..], b"XX", b"CH"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let options = args[2..].iter().take_while(is_option).count();
    let (head, rest) = args.split_at(2 + options);
    let given = |word: &[u8]| head[2..].iter().any(|option| option.eq_ignore_ascii_case(word));
    let (triples, left) = rest.as_chunks::<3>();
    if !left.is_empty() || given(b"NX") && given(b"XX") {
        return Err(ReplyError::Syntax);
    }
    let scores: Vec<Decimal> = triples
        .iter()
        .map(|triple| place(triple).map(|place| Decimal::new(place.score() as i64)))
        .collect::<Result<_, _>>()?;
    let mut added = head.to_vec();
    for (score, [_, _, member]) in scores.iter().zip(triples) {
        added.extend([score.as_bytes(), member]);
    }
    zset::zadd(cx, &added)
}

/// GEOPOS key [member [member ...]]
pub fn geopos(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell_members(cx, args, |reply, place| match place {
        Some(place) => reply_place(reply, place),
        None => reply.null_array(),
    })
}

/// GEOHASH key [member [member ...]]
pub fn geohash(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell_members(cx, args, |reply, place| match place {
        Some(place) => reply.bulk(&place.geohash()),
        None => reply.null(),
    })
}

fn tell_members(cx: &mut Cx<'_>, args: &[&[u8]], tell: impl Fn(&mut Reply<'_>, Option<Place>)) -> Outcome {
    let set = cx.space.read_collection(args[1], ValueType::Zset)?.map(ZsetRef::of);
    cx.reply.array(args.len() - 2);
    for member in &args[2..] {
        let score = set.and_then(|set| set.score(member));
        tell(&mut cx.reply, score.map(Place::of_score));
    }
    Ok(())
}

/// GEODIST key member1 member2 [M | KM | FT | MI]
pub fn geodist(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let unit_m = match args {
        [_, _, _, _] => 1.0,
        [_, _, _, _, name] => unit(name)?,
        _ => return Err(ReplyError::Syntax),
    };
    let set = cx.space.read_collection(args[1], ValueType::Zset)?.map(ZsetRef::of);
    let place = |member: &[u8]| set.and_then(|set| set.score(member)).map(Place::of_score);
    match (place(args[2]), place(args[3])) {
        (Some(one), Some(other)) => reply_distance(&mut cx.reply, one.distance_m(other) / unit_m),
        _ => cx.reply.null(),
    }
    Ok(())
}

// ---- searching ----------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Radius,
    RadiusReadOnly,
    ByMember,
    ByMemberReadOnly,
    Search,
    SearchStore,
}

impl Variant {
    fn is_search(self) -> bool {
        matches!(self, Variant::Search | Variant::SearchStore)
    }

    fn may_store(self) -> bool {
        matches!(self, Variant::Radius | Variant::ByMember)
    }

    /// The arguments in front of the options, the name included; and where the key stands.
    fn head(self) -> (usize, usize) {
        match self {
            Variant::Radius | Variant::RadiusReadOnly => (6, 1),
            Variant::ByMember | Variant::ByMemberReadOnly => (5, 1),
            Variant::Search => (2, 1),
            Variant::SearchStore => (3, 2),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// What a search asks for.
#[derive(Default)]
struct Query<'a> {
    /// `None` where it is a member's and there is no such key.
    center: Option<Place>,
    has_center: bool,
    shape: Option<(Shape, f64)>,
    with_distance: bool,
    with_score: bool,
    with_place: bool,
    order: Option<Order>,
    count: Option<usize>,
    any: bool,
    destination: Option<&'a [u8]>,
    stores_distance: bool,
}

const UNDECODABLE: ReplyError = ReplyError::of("ERR could not decode requested zset member");

impl<'a> Query<'a> {
    fn read(args: &[&'a [u8]], variant: Variant, set: Option<ZsetRef<'_>>) -> Result<Query<'a>, ReplyError> {
        let mut query = Query::default();
        match variant {
            Variant::Radius | Variant::RadiusReadOnly => {
                query.set_center(Some(place(&args[2..4])?));
                query.shape = Some(circle(&args[4..6])?);
            }
            // Where there is no such key nothing is looked at but the options.
            Variant::ByMember | Variant::ByMemberReadOnly if set.is_some() => {
                query.set_member(args[2], set)?;
                query.shape = Some(circle(&args[3..5])?);
            }
            Variant::ByMember | Variant::ByMemberReadOnly | Variant::Search => {}
            Variant::SearchStore => query.destination = Some(args[1]),
        }
        query.read_options(&args[variant.head().0..], variant, set)?;
        query.check(args[0], variant)?;
        Ok(query)
    }

    fn set_center(&mut self, center: Option<Place>) {
        (self.center, self.has_center) = (center, true);
    }

    fn set_member(&mut self, member: &[u8], set: Option<ZsetRef<'_>>) -> Result<(), ReplyError> {
        let score = set.map(|set| set.score(member).ok_or(UNDECODABLE)).transpose()?;
        self.set_center(score.map(Place::of_score));
        Ok(())
    }

    fn read_options(
        &mut self,
        mut options: &[&'a [u8]],
        variant: Variant,
        set: Option<ZsetRef<'_>>,
    ) -> Result<(), ReplyError> {
        let (mut from_member, mut from_place, mut by_radius, mut by_box) = (false, false, false, false);
        while let [option, rest @ ..] = options {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            let searches = |word: &str, values: usize| variant.is_search() && is(word) && rest.len() >= values;
            let mut taken = 0;
            if is("WITHDIST") {
                self.with_distance = true;
            } else if is("WITHHASH") {
                self.with_score = true;
            } else if is("WITHCOORD") {
                self.with_place = true;
            } else if is("ANY") {
                self.any = true;
            } else if is("ASC") {
                self.order = Some(Order::Nearest);
            } else if is("DESC") {
                self.order = Some(Order::Farthest);
            } else if is("COUNT") && !rest.is_empty() {
                let count = usize::try_from(integer(rest[0])?).ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or(ReplyError::of("ERR COUNT must be > 0"))?);
                taken = 1;
            } else if (is("STORE") || is("STOREDIST")) && !rest.is_empty() && variant.may_store() {
                self.destination = Some(rest[0]);
                self.stores_distance = is("STOREDIST");
                taken = 1;
            } else if is("STOREDIST") && variant == Variant::SearchStore {
                self.stores_distance = true;
            } else if searches("FROMMEMBER", 1) && !from_place {
                self.set_member(rest[0], set)?;
                (from_member, taken) = (true, 1);
            } else if searches("FROMLONLAT", 2) && !from_member {
                self.set_center(Some(place(rest)?));
                (from_place, taken) = (true, 2);
            } else if searches("BYRADIUS", 2) && !by_box {
                self.shape = Some(circle(rest)?);
                (by_radius, taken) = (true, 2);
            } else if searches("BYBOX", 3) && !by_radius {
                self.shape = Some(rectangle(rest)?);
                (by_box, taken) = (true, 3);
            } else {
                return Err(ReplyError::Syntax);
            }
            options = &rest[taken..];
        }
        Ok(())
    }

    /// Refuses what does not go together.
    fn check(&self, name: &[u8], variant: Variant) -> Result<(), ReplyError> {
        if self.destination.is_some() && (self.with_distance || self.with_score || self.with_place) {
            let what = if variant == Variant::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(ReplyError::Text(text.into()));
        }
        if variant.is_search() && !self.has_center {
            let before = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(ReplyError::quoting(before, name, ""));
        }
        if variant.is_search() && self.shape.is_none() {
            return Err(ReplyError::quoting("ERR exactly one of BYRADIUS and BYBOX can be specified for ", name, ""));
        }
        if self.any && self.count.is_none() {
            return Err(ReplyError::of("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// What is found, in order, and no more than is wanted.
    fn run(&self, set: ZsetRef<'_>, area: Area) -> Vec<Found> {
        let enough = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for cell in area.cells() {
            let (from, to) = cell.scores();
            for (member, score) in set.range(set.ranks_of_scores(&ScoreRange::half_open(from, to)), false) {
                let place = Place::of_score(score);
                if let Some(distance_m) = area.distance_m(place) {
                    found.push(Found { member: member.to_vec(), score, place, distance_m });
                    if found.len() >= enough {
                        break;
                    }
                }
            }
            if found.len() >= enough {
                break;
            }
        }
        // The nearest few are wanted, unless any will do.
        let nearest = self.count.filter(|_| !self.any).map(|_| Order::Nearest);
        match self.order.or(nearest) {
            Some(Order::Nearest) => found.sort_by(|one, other| one.distance_m.total_cmp(&other.distance_m)),
            Some(Order::Farthest) => found.sort_by(|one, other| other.distance_m.total_cmp(&one.distance_m)),
            None => {}
        }
        found.truncate(self.count.unwrap_or(usize::MAX));
        found
    }

    fn reply(&self, reply: &mut Reply<'_>, found: &[Found], unit_m: f64) {
        let details = [self.with_distance, self.with_score, self.with_place];
        let details = details.iter().filter(|given| **given).count();
        reply.array(found.len());
        for one in found {
            if details > 0 {
                reply.array(details + 1);
            }
            reply.bulk(&one.member);
            if self.with_distance {
                reply_distance(reply, one.distance_m / unit_m);
            }
            if self.with_score {
                reply.integer(one.score as i64);
            }
            if self.with_place {
                reply_place(reply, one.place);
            }
        }
    }
}

struct Found {
    member: Vec<u8>,
    score: f64,
    place: Place,
    distance_m: f64,
}

fn search(cx: &mut Cx<'_>, args: &[&[u8]], variant: Variant) -> Outcome {
    let entry = cx.space.read_collection(args[variant.head().1], ValueType::Zset)?;
    let set = entry.map(ZsetRef::of);
    let query = Query::read(args, variant, set)?;
    let (mut found, mut unit_m) = (Vec::new(), 1.0);
    if let (Some(set), Some(center), Some((shape, unit))) = (set, query.center, query.shape) {
        found = query.run(set, Area { center, shape });
        unit_m = unit;
    }
    let Some(destination) = query.destination else {
        query.reply(&mut cx.reply, &found, unit_m);
        return Ok(());
    };
    let mut gathering = Gathering::default();
    for one in &found {
        let score = if query.stores_distance { one.distance_m / unit_m } else { one.score };
        gathering.add_new(score, &one.member);
    }
    let event = if variant == Variant::SearchStore { "geosearchstore" } else { "georadiusstore" };
    zset::store(cx, &[args[0], destination], gathering.finish(), event)
}

/// GEORADIUS key longitude latitude radius unit [options] [STORE key | STOREDIST key]
pub fn georadius(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    search(cx, args, Variant::Radius)
}

/// GEORADIUS_RO key longitude latitude radius unit [options]
pub fn georadius_ro(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    search(cx, args, Variant::RadiusReadOnly)
}

/// GEORADIUSBYMEMBER key member radius unit [options] [STORE key | STOREDIST key]
pub fn georadiusbymember(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    search(cx, args, Variant::ByMember)
}

/// GEORADIUSBYMEMBER_RO key member radius unit [options]
pub fn georadiusbymember_ro(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    search(cx, args, Variant::ByMemberReadOnly)
}

/// GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius unit | BYBOX width height unit
/// [options]
pub fn geosearch(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    search(cx, args, Variant::Search)
}

/// GEOSEARCHSTORE destination source, then as GEOSEARCH, [STOREDIST]
pub fn geosearchstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    search(cx, args, Variant::SearchStore)
}
