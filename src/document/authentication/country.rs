//! The issuing state of a machine readable zone, and the country of the certificate that must have
//! signed for it (ICAO Doc 9303-3, section 5; ISO 3166-1).
//!
//! The zone writes three letters, certificates two. The exceptions are Doc 9303's own: Germany
//! writes `D`, the United Kingdom six codes for its classes of nationality, and organisations that
//! issue documents have codes that ISO reserves or does not know.

use der::{Tag, TagNumber};

use super::asn1::{Element, application};

/// `5F1F`: the machine readable zone.
const ZONE: Tag = Tag::Application { constructed: false, number: TagNumber(31) };

/// ISO 3166-1: three letters and two letters of every entry, run together.
const STATES: &str = "\
    ABWAW AFGAF AGOAO AIAAI ALAAX ALBAL ANDAD AREAE ARGAR ARMAM ASMAS ATAAQ ATFTF ATGAG AUSAU \
    AUTAT AZEAZ BDIBI BELBE BENBJ BESBQ BFABF BGDBD BGRBG BHRBH BHSBS BIHBA BLMBL BLRBY BLZBZ \
    BMUBM BOLBO BRABR BRBBB BRNBN BTNBT BVTBV BWABW CAFCF CANCA CCKCC CHECH CHLCL CHNCN CIVCI \
    CMRCM CODCD COGCG COKCK COLCO COMKM CPVCV CRICR CUBCU CUWCW CXRCX CYMKY CYPCY CZECZ DEUDE \
    DJIDJ DMADM DNKDK DOMDO DZADZ ECUEC EGYEG ERIER ESHEH ESPES ESTEE ETHET FINFI FJIFJ FLKFK \
    FRAFR FROFO FSMFM GABGA GBRGB GEOGE GGYGG GHAGH GIBGI GINGN GLPGP GMBGM GNBGW GNQGQ GRCGR \
    GRDGD GRLGL GTMGT GUFGF GUMGU GUYGY HKGHK HMDHM HNDHN HRVHR HTIHT HUNHU IDNID IMNIM INDIN \
    IOTIO IRLIE IRNIR IRQIQ ISLIS ISRIL ITAIT JAMJM JEYJE JORJO JPNJP KAZKZ KENKE KGZKG KHMKH \
    KIRKI KNAKN KORKR KWTKW LAOLA LBNLB LBRLR LBYLY LCALC LIELI LKALK LSOLS LTULT LUXLU LVALV \
    MACMO MAFMF MARMA MCOMC MDAMD MDGMG MDVMV MEXMX MHLMH MKDMK MLIML MLTMT MMRMM MNEME MNGMN \
    MNPMP MOZMZ MRTMR MSRMS MTQMQ MUSMU MWIMW MYSMY MYTYT NAMNA NCLNC NERNE NFKNF NGANG NICNI \
    NIUNU NLDNL NORNO NPLNP NRUNR NZLNZ OMNOM PAKPK PANPA PCNPN PERPE PHLPH PLWPW PNGPG POLPL \
    PRIPR PRKKP PRTPT PRYPY PSEPS PYFPF QATQA REURE ROURO RUSRU RWARW SAUSA SDNSD SENSN SGPSG \
    SGSGS SHNSH SJMSJ SLBSB SLESL SLVSV SMRSM SOMSO SPMPM SRBRS SSDSS STPST SURSR SVKSK SVNSI \
    SWESE SWZSZ SXMSX SYCSC SYRSY TCATC TCDTD TGOTG THATH TJKTJ TKLTK TKMTM TLSTL TONTO TTOTT \
    TUNTN TURTR TUVTV TWNTW TZATZ UGAUG UKRUA UMIUM URYUY USAUS UZBUZ VATVA VCTVC VENVE VGBVG \
    VIRVI VNMVN VUTVU WLFWF WSMWS YEMYE ZAFZA ZMBZM ZWEZW";

/// Doc 9303-3's exceptions: what the zone says, and the certificates' country.
const EXCEPTIONS: [(&[u8; 3], &[u8; 2]); 17] = [
    (b"D<<", b"DE"),
    (b"GBD", b"GB"),
    (b"GBN", b"GB"),
    (b"GBO", b"GB"),
    (b"GBP", b"GB"),
    (b"GBS", b"GB"),
    (b"EUE", b"EU"),
    (b"RKS", b"KS"),
    (b"RKS", b"XK"),
    (b"UNO", b"UN"),
    (b"UNA", b"UN"),
    (b"UNK", b"UN"),
    (b"XOM", b"XM"),
    (b"XOM", b"XO"),
    (b"XPO", b"XP"),
    (b"UTO", b"UT"),
    (b"XCE", b"XC"),
];

/// The issuing state that EF.DG1 names: the third to fifth character of the zone in every format of
/// document. `None` where there is no zone.
pub(super) fn issuing_state(dg1: &[u8]) -> Option<[u8; 3]> {
    zone(dg1)?.get(2..5)?.try_into().ok()
}

/// The type of document that EF.DG1 names, two characters as the zone writes them: `P<`, `ID`.
pub(super) fn document_code(dg1: &[u8]) -> Option<[u8; 2]> {
    zone(dg1)?.get(..2)?.try_into().ok()
}

fn zone(dg1: &[u8]) -> Option<&[u8]> {
    let file = Element::whole(dg1).ok().filter(|file| file.tag == application(1))?;
    let zone = Element::whole(file.value).ok().filter(|zone| zone.tag == ZONE)?;
    Some(zone.value)
}

/// Whether a certificate of `country` may sign for a document of `state`, three characters as the
/// zone writes them.
pub(super) fn signs_for(country: [u8; 2], state: [u8; 3]) -> bool {
    let excepted = EXCEPTIONS.iter().any(|(held, letters)| **held == state && **letters == country);
    excepted
        || STATES.split(' ').any(|entry| {
            let (long, short) = entry.as_bytes().split_at(state.len());
            long == state && short == country
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (country, state, expected) in [
            (b"NL", b"NLD", true),
            (b"NL", b"BEL", false),
            (b"DE", b"D<<", true),
            (b"DE", b"DEU", true),
            (b"D<", b"D<<", false),
            (b"GB", b"GBO", true),
            (b"GB", b"GBR", true),
            (b"KS", b"RKS", true),
            (b"XK", b"RKS", true),
            (b"RS", b"RKS", false),
            (b"UT", b"UTO", true),
            (b"UN", b"UNO", true),
            (b"LA", b"AFG", false),
            (b"AF", b"AFG", true),
            (b"ZW", b"ZWE", true),
            (b"<<", b"<<<", false),
        ] {
            assert_eq!(signs_for(*country, *state), expected, "{country:?} {state:?}");
        }
    }

    #[test]
    fn every_entry_has_three_letters_and_two() {
        let entries: Vec<&str> = STATES.split(' ').collect();
        assert_eq!(entries.len(), 249);
        let sound =
            |entry: &&str| entry.len() == 5 && entry.bytes().all(|b| b.is_ascii_uppercase());
        assert!(entries.iter().all(sound));
    }
}
