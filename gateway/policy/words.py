"""Words that a column's or a relation's name is made of, in English and French, and what they suggest.

INVARIANT: words only suggest. What a suggestion comes to is decided in `policy.classify`, where doubt hides.

A name is cut into words at underscores, spaces, digits and changes of case; accents and case do not count.
"""

from __future__ import annotations

import re
import unicodedata

_CUT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, folded: `FirstName2` is `first`, `name`, `2`."""
    plain = unicodedata.normalize("NFKD", name[:256]).encode("ascii", "ignore").decode()
    return tuple(word.lower() for word in _CUT.findall(plain))


def has(words: tuple[str, ...], *phrases: str) -> bool:
    """Whether one of the phrases (words with spaces between) stands in the name, or is the whole of it joined."""
    joined = f" {' '.join(words)} "
    return any(f" {phrase} " in joined or phrase.replace(" ", "") in words for phrase in phrases)


def singular(word: str) -> str:
    """The word without the plural of English and most of French."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def names(words: tuple[str, ...], known: frozenset[str]) -> bool:
    """Whether one of the words, in singular, is among the known ones."""
    return any(singular(word) in known or word in known for word in words)


SECRET = _set(
    "secret password passwd passphrase pwd motdepasse mdp token tokens jeton hash digest salt sel cookie nonce otp totp"
    " credential bearer apikey privatekey signature seed pin cvv cvc cvv2 authkey session certificate"
)
SECRET_PHRASES = (
    "api key", "private key", "secret key", "access key", "mot de passe", "recovery code", "refresh token", "pass word",
    "encryption key", "signing key", "backup code", "verification code", "reset code", "activation code",
)  # fmt: skip
SENSITIVE = _set(
    "religion confession ethnic ethnicity race racial disability handicap rqth health medical diagnosis disease illness"
    " sante maladie diagnostic pregnancy grossesse syndicat union sexual orientation political politique criminal"
    " conviction genetic biometric fingerprint blood treatment medication prescription allergy gender sexe sex"
    " marital matrimonial maternity maternite paternity sick arret nationality nationalite citizenship"
)
FREE_TEXT = _set(
    "note comment commentaire remark remarque description message body content contenu text texte memo bio biography"
    " summary resume observation feedback review reason motif raison answer question reply subject objet payload raw"
    " data details detail misc metadata meta extra search query log trace error stack diff html transcript"
    " instruction profile profil"
)
STATUS = _set(
    "status state etat statut type kind category categorie plan level niveau currency devise country pays lang language"
    " langue locale timezone tz unit unite mode channel canal source role priority priorite severity stage step etape"
    " phase tier grade class classe method methode format visibility department departement team service frequency"
    " gateway provider version color colour"
)
LABEL = _set("label libelle title titre intitule designation name nom code slug key sku")
COUNT = _set(
    "quantity quantite qty count nombre nb position rank rang order ordre priority version revision"
    " level niveau index line ligne size taille duration duree seconds minutes hours days attempts retries year month"
    " week day annee mois semaine jour status state type seq sequence attempt retry"
)
AMOUNT = _set(
    "salary salaire wage pay paie remuneration compensation gross net brut amount montant price prix total subtotal"
    " balance solde revenue revenu income bonus prime cost cout tax taxe fee frais credit debit budget loan pret"
    " turnover margin marge commission payment paiement refund discount remise deposit allowance capital debt"
)
MONTH = _set(
    "hired hire hiring embauche joined arrival entree leave left departure sortie death died deces wedding married"
    " mariage divorce fired terminated resigned demission"
)
PERSON = _set(
    "person people personne user utilisateur employee employe salarie staff worker contact patient student eleve"
    " etudiant member membre individual candidate candidat subscriber abonne applicant tenant beneficiary child enfant"
    " driver passenger guest lead prospect owner author attendee profile dependent doctor citizen resident customer"
    " client buyer recipient participant volunteer donor"
)
ORGANISATION = _set(
    "company organisation organization org societe entreprise firm enterprise business establishment etablissement"
    " vendor supplier fournisseur workspace agency agence institution employer employeur"
)
CUSTOMER = (
    "tenant", "customer", "client", "company", "organization", "organisation", "org", "societe", "entreprise",
    "account", "compte", "workspace", "business", "merchant", "school", "establishment", "etablissement",
)  # fmt: skip

FIRST_NAMES = _set(
    """
    adam adele adrien agathe aisha alain alan alban albert alex alexandre alexander alice alix amelia amina amir ana
    anais andre andrea andrew angela anita ann anna anne anthony antoine arthur audrey aurelie barbara basile bastien
    ben benjamin benoit bernard bob brian brigitte bruno camille carl carla carlos carol caroline catherine cecile
    cedric celine charles charlotte chloe chris christian christine christopher claire clara claude clement colin
    damien daniel danielle david deborah denis diana diane didier dominique donna edouard edward eleanor elena eli
    elisabeth elise elizabeth ella elodie emily emilie emma eric erik erwan esther ethan etienne eva eve fabien fatima
    florence florian francis franck francois francoise frank frederic gabriel gary george georges gerard gilles grace
    gregory guillaume hannah harry helen helene henri henry hugo ian ines irene isaac isabella isabelle ivan jack jacob
    jacques jade james jan jane janet jason jean jeanne jennifer jeremy jerome jessica jim joan joe johanna john jonas
    jonathan jose joseph joshua juan judith julia julian julie julien karen karim kate katherine kevin kim kyle lara
    laura laurence laurent lea leo leon lina linda lisa loic louis louise luc lucas lucie lucy luis luke madeleine
    maia malik manon marc marcel margaret margaux maria marie marion mark martin martine mary mathieu mathilde matthew
    maurice maxime mehdi melanie mia michael michel michele michelle mike mohamed mohammed monique muriel nadia nancy
    nathalie nathan nicholas nicolas nicole noah noe nora olivia olivier omar oscar pamela pascal patricia patrick paul
    pauline peter philip philippe pierre quentin rachel raphael raymond rebecca remi rene richard robert robin roger
    romain ronald rose ruth ryan sabine sam samantha samuel sandra sandrine sara sarah scott sebastien serge simon
    solene sofia sonia sophia sophie stephane stephanie stephen steven susan suzanne sylvain sylvie theo theresa thierry
    thomas tim tom valerie vanessa veronique victor victoria vincent virginie walter william xavier yann yasmine yves
    youssef zoe
    """
)
