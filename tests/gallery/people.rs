//! Who should be enrolled: the plainest gallery there can be, a map, and the operations that change
//! both it and the real one.

use std::collections::BTreeMap;

use portcullis::{
    gallery::{Enrolment, Gallery, GalleryError},
    ops::{
        score::rest_norm,
        tile::{Common, ROW_RESTRICTED, ROW_VACANT, Row, TileLayout, TilePart, TileSource},
    },
    types::{Hash256, SubjectId, Template, TemplateKind},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Tiles so small that a few people fill several.
pub const LAYOUT: TileLayout = TileLayout { dims: 24, hot_dims: 16, rows: 8 };
/// Rows as large as real ones.
pub const LAYOUT_512: TileLayout = TileLayout { dims: 512, hot_dims: 128, rows: 16 };
const REFERENCES_MAX: usize = 4;

pub fn kind_of(layout: TileLayout) -> TemplateKind {
    TemplateKind {
        model: Hash256::from_bytes([1; 32]),
        calibration: Hash256::from_bytes([2; 32]),
        dims: u16::try_from(layout.dims).expect("few"),
    }
}

pub fn subject(number: u32) -> SubjectId {
    let mut id = [0xEE; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    SubjectId::from_bytes(id)
}

/// The values of reference `seed`: random, so that no 16 bytes of them stand anywhere by chance.
pub fn values(seed: u64, layout: TileLayout) -> Vec<i8> {
    let mut bytes = vec![0; layout.dims];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.iter().map(|byte| byte.cast_signed().max(-127)).collect()
}

pub fn template(seed: u64, layout: TileLayout) -> Template {
    Template::new(values(seed, layout).into(), kind_of(layout)).expect("values in range")
}

/// One reference as it should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    pub seed: u64,
    pub enrolment: Enrolment,
}

/// One subject as it should be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub restricted: bool,
    pub references: Vec<Reference>,
}

/// Everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People(pub BTreeMap<SubjectId, Person>);

/// One operation of the gallery.
#[derive(Clone, Debug)]
pub enum Act {
    Enrol(Vec<(u32, Vec<Reference>)>),
    Replace(u32, Vec<Reference>),
    Restrict(u32, bool),
    Regroup(u32, u32),
    Erase(u32),
    EraseAll,
    EraseExpired(i64),
    EraseGroup(u32),
    EraseClass(u64),
    EraseBegunBefore(i64),
    Compact,
    Rotate,
    Rekey,
}

impl Act {
    /// What the operation removes; of everything else the rows stay.
    fn takes(&self, subject_id: SubjectId, reference: &Enrolment) -> bool {
        match self {
            Self::Erase(number) | Self::Replace(number, _) => subject(*number) == subject_id,
            Self::EraseAll => true,
            Self::EraseExpired(now_s) => reference.expiry_s <= *now_s,
            Self::EraseGroup(group) => reference.group == *group,
            Self::EraseClass(bits) => reference.class_bits & bits != 0,
            Self::EraseBegunBefore(begin_s) => reference.not_before_s < *begin_s,
            _ => false,
        }
    }

    /// Does it to the real gallery.
    pub fn to_gallery(&self, gallery: &Gallery) -> Result<(), GalleryError> {
        let layout = gallery.layout();
        let templates = |references: &[Reference]| -> Vec<Template> {
            references.iter().map(|reference| template(reference.seed, layout)).collect()
        };
        let terms = |references: &[Reference]| {
            references.first().map_or_else(Enrolment::default, |first| first.enrolment)
        };
        match self {
            Self::Enrol(newcomers) => {
                let newcomers: Vec<_> = newcomers
                    .iter()
                    .map(|(number, list)| (subject(*number), templates(list), terms(list)))
                    .collect();
                gallery.enrol_all(&newcomers).map(drop)
            }
            Self::Replace(number, list) => {
                gallery.replace(subject(*number), templates(list), terms(list)).map(drop)
            }
            Self::Restrict(number, on) => gallery.restrict(subject(*number), *on).map(drop),
            Self::Regroup(number, group) => gallery.regroup(subject(*number), *group).map(drop),
            Self::Erase(number) => gallery.erase(subject(*number)).map(drop),
            Self::EraseAll => gallery.erase_all().map(drop),
            Self::EraseExpired(now_s) => gallery.erase_expired(*now_s).map(drop),
            Self::EraseGroup(group) => gallery.erase_group(*group).map(drop),
            Self::EraseClass(bits) => gallery.erase_class(*bits).map(drop),
            Self::EraseBegunBefore(begin_s) => gallery.erase_begun_before(*begin_s).map(drop),
            Self::Compact => gallery.compact(&mut |_, _| {}).map(drop),
            Self::Rotate => gallery.rotate().map(drop),
            Self::Rekey => gallery.rekey(&mut |_, _| {}).map(drop),
        }
    }
}

impl People {
    /// The people of rows that were read, for a child that knows only the gallery. The seeds are
    /// not known to it; nobody compares by them there.
    pub fn of(rows: Vec<Seen>) -> Self {
        let mut people = Self::default();
        for Seen { row, .. } in rows {
            let person = people.0.entry(SubjectId::from_bytes(row.subject)).or_default();
            let Row { class_bits, group, not_before_s, expiry_s, .. } = row;
            person.restricted = row.flags & ROW_RESTRICTED != 0;
            person.references.push(Reference {
                seed: 0,
                enrolment: Enrolment { class_bits, group, not_before_s, expiry_s },
            });
        }
        people
    }

    /// The numbers of everybody, in order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.keys().map(|id| {
            let first = id.as_bytes().first_chunk().expect("sixteen bytes");
            u32::from_be_bytes(*first)
        })
    }

    /// Does it to the map; false when the gallery must refuse it, and nothing changes.
    pub fn act(&mut self, act: &Act) -> bool {
        if !self.allows(act) {
            return false;
        }
        for (id, person) in &mut self.0 {
            person.references.retain(|reference| !act.takes(*id, &reference.enrolment));
        }
        match act {
            Act::Enrol(newcomers) => {
                for (number, list) in newcomers {
                    self.0.entry(subject(*number)).or_default().references.extend(list);
                }
            }
            Act::Replace(number, list) => {
                self.0.entry(subject(*number)).or_default().references.extend(list);
            }
            Act::Restrict(number, on) => {
                self.0.entry(subject(*number)).or_default().restricted = *on;
            }
            Act::Regroup(number, group) => {
                let person = self.0.entry(subject(*number)).or_default();
                person.references.iter_mut().for_each(|held| held.enrolment.group = *group);
            }
            _ => {}
        }
        self.0.retain(|_, person| !person.references.is_empty());
        true
    }

    fn allows(&self, act: &Act) -> bool {
        match act {
            Act::Enrol(newcomers) => {
                let mut added = BTreeMap::<u32, usize>::new();
                newcomers.iter().all(|(number, list)| {
                    let held =
                        self.0.get(&subject(*number)).map_or(0, |held| held.references.len());
                    let added = added.entry(*number).or_default();
                    *added += list.len();
                    !list.is_empty() && held + *added <= REFERENCES_MAX
                })
            }
            Act::Replace(number, list) => {
                let fits = (1..=REFERENCES_MAX).contains(&list.len());
                fits && self.0.contains_key(&subject(*number))
            }
            Act::Restrict(number, _) | Act::Regroup(number, _) | Act::Erase(number) => {
                self.0.contains_key(&subject(*number))
            }
            _ => true,
        }
    }

    /// The rows that should be there, in an order of their own.
    pub fn rows(&self, layout: TileLayout) -> Vec<Seen> {
        let mut rows = Vec::new();
        for (id, person) in &self.0 {
            for reference in &person.references {
                let Enrolment { class_bits, group, not_before_s, expiry_s } = reference.enrolment;
                let flags = if person.restricted { ROW_RESTRICTED } else { 0 };
                let subject = *id.as_bytes();
                let row = Row { subject, class_bits, not_before_s, expiry_s, group, flags };
                rows.push(Seen { row, values: values(reference.seed, layout) });
            }
        }
        sorted(rows)
    }
}

/// A row as a search sees it, with the template as it was enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub row: Row,
    pub values: Vec<i8>,
}

pub fn sorted(mut rows: Vec<Seen>) -> Vec<Seen> {
    rows.sort_by(|a, b| {
        let key = |seen: &Seen| (seen.row.subject, seen.row.group, seen.row.class_bits);
        key(a).cmp(&key(b)).then_with(|| a.values.cmp(&b.values))
    });
    rows
}

/// The rows that are somebody's, in row order.
///
/// # Errors
/// What does not open, or contradicts itself.
pub fn seen(source: &dyn TileSource) -> Result<Vec<Seen>, String> {
    let set = source.set();
    let (layout, mut all) = (set.layout, Vec::new());
    let cold_dims = layout.dims - layout.hot_dims;
    for (number, tile) in set.tiles.iter().enumerate() {
        let open = |part| {
            let mut bytes = vec![0; layout.part_bytes(part, tile.rows)];
            source.open(number, part, &mut bytes).map_err(|error| error.to_string())?;
            Ok::<_, String>(bytes)
        };
        let (table, hot) = (open(TilePart::Rows)?, open(TilePart::Hot)?);
        let cold = open(TilePart::Cold)?;
        let table: Vec<Row> =
            table.chunks_exact(size_of::<Row>()).map(bytemuck::pod_read_unaligned).collect();
        if tile.common != Common::of(&table) {
            return Err(format!("tile {number} is said to have {:?} in common", tile.common));
        }
        let (planes, norms) = hot.split_at(tile.rows * layout.hot_dims);
        for (at, row) in table.iter().enumerate() {
            let cold = &cold[at * cold_dims..][..cold_dims];
            let hot = &planes[at * layout.hot_dims..][..layout.hot_dims];
            let disguised: Vec<i8> =
                hot.iter().chain(cold).map(|byte| byte.cast_signed()).collect();
            let norm = u16::from_le_bytes([norms[2 * at], norms[2 * at + 1]]);
            if u32::from(norm) != rest_norm(&disguised[layout.hot_dims..]) {
                return Err(format!("tile {number} row {at} has a wrong norm"));
            }
            let mut values = disguised.clone();
            if let Some(transform) = source.transform() {
                transform.undo(&disguised, &mut values);
            }
            if row.flags & ROW_VACANT == 0 {
                all.push(Seen { row: *row, values });
            } else if values.iter().any(|&value| value != 0) || row.subject != [0; 16] {
                return Err(format!("tile {number} row {at} is vacant and not zero"));
            }
        }
    }
    Ok(all)
}

/// Whether `gallery` holds just `people`; what differs otherwise.
///
/// # Errors
/// The first difference, in words.
pub fn compare(gallery: &Gallery, people: &People) -> Result<(), String> {
    let found = sorted(seen(gallery.source().as_ref())?);
    let expected = people.rows(gallery.layout());
    if found != expected {
        let names = |rows: &[Seen]| -> Vec<String> {
            rows.iter()
                .map(|seen| SubjectId::from_bytes(seen.row.subject).to_string()[..8].into())
                .collect()
        };
        return Err(format!("held {:?}, expected {:?}", names(&found), names(&expected)));
    }
    let stats = gallery.stats();
    if stats.subjects != people.0.len() as u64 {
        return Err(format!("{} subjects are told, {} are there", stats.subjects, people.0.len()));
    }
    Ok(())
}
