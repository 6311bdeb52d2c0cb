"""Common French names, from which the demonstration's people and companies are drawn."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in text.split())


WOMEN = _names("""
    Camille Léa Manon Chloé Inès Sarah Julie Marie Laura Nathalie Sophie Aurélie Céline Émilie Fatima Nadia Amina
    Claire Isabelle Hélène Valérie Sandrine Anaïs Lucie Margaux Pauline Mathilde Élodie Yasmine Agathe Brigitte
    Jeanne Solène Zoé
""")

MEN = _names("""
    Lucas Hugo Louis Gabriel Arthur Jules Adam Thomas Nicolas Pierre Antoine Julien Maxime Alexandre Karim Mehdi
    Youssef Philippe Laurent Stéphane François Frédéric Guillaume Romain Benoît Cédric Olivier Rémi Théo Quentin
    Bastien Étienne Malik Loïc
""")

SURNAMES = _names("""
    Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefebvre Leroy Roux David
    Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller Lefèvre Faure André
    Mercier Blanc Guérin Boyer Garnier Chevalier François Legrand Gauthier Garcia Perrin Robin Clément Morin Nicolas
    Henry Roussel Mathieu Gautier Masson Marchand Duval Denis Dumont Marie Lemaire Noël Meyer Dufour Meunier Brun
    Blanchard Giraud Joly Rivière Lucas Brunet Gaillard Barbier Arnaud Martinez Gérard Roche Renard Schmitt Roy
    Leroux Colin Vidal Caron Picard Roger Fabre Aubert Lemoine Renaud Dumas Lacroix Olivier Philippe Bourgeois
    Pierre Benoît Rey Leclerc Payet Rolland Leclercq Guillaume Lecomte Lopez Jean Dupuy Guillot Hubert Berger
    Carpentier Sanchez Dupuis Moulin Louis Deschamps Huet Vasseur Perez Boucher Fleury Royer Klein Jacquet Adam
    Paris Poirier Marty Aubry Guyot Carré Charles Renault Charpentier Ménard Maillard Baron Bertin Bailly Hervé
    Schneider Fernandez Le_Gall Collet Léger Bouvier Julien Prévost Millet Perrot Daniel Le_Roux Cousin Germain
    Breton Besson Langlois Rémy Da_Silva Traoré Diallo Benali Haddad Nguyen Cohen
""")

COMPANY_HEADS = _names("""
    Atelier Boulangerie Cabinet Clinique Domaine Éditions Fonderie Garage Imprimerie Laboratoire Maison Menuiserie
    Papeterie Pharmacie Transports Verrerie
""")

COMPANY_TAILS = _names("""
    Bellevue Carnot Duroc Estérel Faidherbe Grandval Hautefeuille Jaurès Lamartine Mirabeau Nivernais Orsay Pasteur
    Rochebrune Saint-Clair Tourmalet Vauban
""")
