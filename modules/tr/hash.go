package tr

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"strconv"

	"github.com/luasips/luasips/modules"
)

// digests are the hash functions by the name of their transformation.
var digests = [...]struct {
	name string
	make func() hash.Hash
	hmac bool // has a keyed form, {s.NAME_hmac,key}
}{
	{"md5", md5.New, false},
	{"sha1", sha1.New, true},
	{"sha224", sha256.New224, true},
	{"sha256", sha256.New, true},
	{"sha384", sha512.New384, true},
	{"sha512", sha512.New, true},
}

func hashFunctions() []modules.Function {
	fns := []modules.Function{text("s.crc32", "CRC-32 (IEEE) as a decimal string.", always(func(s string) string {
		return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(s))), 10)
	}))}
	for _, d := range digests {
		fns = append(fns, text("s."+d.name, "The "+d.name+" digest in lower-case hexadecimal.", always(func(s string) string {
			return hexSum(d.make(), s)
		})))
		if !d.hmac {
			continue
		}
		fns = append(fns, define("s."+d.name+"_hmac", modules.KindString, "The HMAC by "+d.name+" in lower-case hexadecimal (RFC 2104).",
			func(s string, p *params) modules.Value {
				return modules.String(hexSum(hmac.New(d.make, []byte(p.str(0))), s))
			}, strArg("key", "the key")))
	}
	return fns
}

func hexSum(h hash.Hash, s string) string {
	h.Write([]byte(s))
	return hex.EncodeToString(h.Sum(nil))
}
