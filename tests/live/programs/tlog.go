// Reads a trail and makes proofs from it with Go's own checksum database code (golang.org/x/mod/sumdb), which the C2SP
// specifications describe. A request is one JSON object on stdin, the answer one on stdout; anything that does not check
// ends the program.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Directory string
	Verifier  string
	Signer    string    // signs the text of the checkpoint anew
	Witness   string    // a verifier key of type 4, c2sp.org/tlog-cosignature
	Cosigned  string    // a checkpoint with the witness's signature
	Records   []int64   // prove these
	Pairs     [][]int64 // prove that the tree of the first size is a prefix of that of the second
	Leaves    []string
}

type answer struct {
	Size      int64
	Root      string
	Records   [][]string
	Trees     [][]string
	Roots     []string // of the first n leaves, by the leaves alone
	Note      string
	Timestamp uint64
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tiles reads C2SP tiles, whose paths are Go's without the height.
type tiles struct{ directory string }

func (t tiles) Height() int                      { return 8 }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte)  {}
func (t tiles) ReadTiles(wanted []tlog.Tile) (found [][]byte, err error) {
	for _, tile := range wanted {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(t.directory, path))
		if err != nil {
			return nil, err
		}
		if len(data) != 32*tile.W {
			return nil, fmt.Errorf("%s has %d bytes", path, len(data))
		}
		found = append(found, data)
	}
	return found, nil
}

type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 72 {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(signature), text)
	return ed25519.Verify(c.key, []byte(message), signature[8:])
}

func texts(hashes []tlog.Hash) []string {
	found := []string{}
	for _, hash := range hashes {
		found = append(found, hash.String())
	}
	return found
}

func main() {
	var asked request
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	var said answer

	verifier, err := note.NewVerifier(asked.Verifier)
	check(err)
	data, err := os.ReadFile(filepath.Join(asked.Directory, "checkpoint"))
	check(err)
	opened, err := note.Open(data, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	said.Size, err = strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	said.Root = root.String()
	tree := tlog.Tree{N: said.Size, Hash: root}
	reader := tlog.TileHashReader(tree, tiles{asked.Directory})

	for _, record := range asked.Records {
		proof, err := tlog.ProveRecord(tree.N, record, reader)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, record, tlog.RecordHash([]byte(asked.Leaves[record]))))
		said.Records = append(said.Records, texts(proof))
	}
	var stored []tlog.Hash
	memory := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	byLeaves := map[int64]tlog.Hash{}
	for number, leaf := range asked.Leaves {
		hashes, err := tlog.StoredHashes(int64(number), []byte(leaf), memory)
		check(err)
		stored = append(stored, hashes...)
		byLeaves[int64(number+1)], err = tlog.TreeHash(int64(number+1), memory)
		check(err)
		said.Roots = append(said.Roots, byLeaves[int64(number+1)].String())
	}
	for _, pair := range asked.Pairs {
		proof, err := tlog.ProveTree(pair[1], pair[0], reader)
		check(err)
		check(tlog.CheckTree(proof, pair[1], byLeaves[pair[1]], pair[0], byLeaves[pair[0]]))
		said.Trees = append(said.Trees, texts(proof))
	}
	signer, err := note.NewSigner(asked.Signer)
	check(err)
	signed, err := note.Sign(&note.Note{Text: opened.Text}, signer)
	check(err)
	said.Note = string(signed)

	parts := strings.SplitN(asked.Witness, "+", 3)
	material, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	check(err)
	if material[0] != 4 || len(material) != 33 {
		check(fmt.Errorf("not a key for cosignatures"))
	}
	witness := &cosigner{parts[0], uint32(hash), ed25519.PublicKey(material[1:])}
	cosigned, err := note.Open([]byte(asked.Cosigned), note.VerifierList(verifier, witness))
	check(err)
	if len(cosigned.Sigs) != 2 || cosigned.Sigs[1].Name != witness.name {
		check(fmt.Errorf("both signatures are expected"))
	}
	blob, err := base64.StdEncoding.DecodeString(cosigned.Sigs[1].Base64)
	check(err)
	said.Timestamp = binary.BigEndian.Uint64(blob[4:])
	check(json.NewEncoder(os.Stdout).Encode(said))
}
