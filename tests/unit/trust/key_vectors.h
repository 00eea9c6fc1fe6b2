/* Keys and signatures for tests. RFC6979_* are those of RFC 6979, A.2.5; the others were made by
 * the Python package "cryptography" (48.0) over SIGNED_TEXT. Binary values are in hex. */
#ifndef COVEY_TEST_KEY_VECTORS_H
#define COVEY_TEST_KEY_VECTORS_H

#define SIGNED_TEXT "{\"_type\":\"root\"}"
#define RSA_PEM                                                                                    \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr58jwUotdEsTKC0Ejwfn\n"                           \
    "0WKcb5O74MX3tEtdXqWYvf3lIdHmmE1QG538j5bwc/hqHqSM7wzGkLVQh4tJoPHr\n"                           \
    "q7RR6N+Xm8nzvYG8Vo8vTuqIXqO+g2Lb3MWTTfUZ7Z3sgU3jtSyz+XCdGdMzj6ax\n"                           \
    "A8x2HGJez+qU70v5sgrSov5c+Q1Drl69pvekOIzwyXZqjqoi6dOlrMHNVssu+uAq\n"                           \
    "8nE0K0Fi0QWS5/Lc07HIxA+8NLmoEQUBJGNjI6TicubfuJtsGcsPOZWNHm+H1VfP\n"                           \
    "SDhDwAwZChDreDm2EWDk+EmybETaHYgv56RyBe1p8ubC5IOMbzT0w4eByj3nweFN\n"                           \
    "uwIDAQAB\n"                                                                                   \
    "-----END PUBLIC KEY-----\n"
#define RSA_DER                                                                                    \
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100af9f23c14a2d744b13282d"     \
    "048f07e7d1629c6f93bbe0c5f7b44b5d5ea598bdfde521d1e6984d501b9dfc8f96f073f86a1ea48cef0cc690"     \
    "b550878b49a0f1ebabb451e8df979bc9f3bd81bc568f2f4eea885ea3be8362dbdcc5934df519ed9dec814de3"     \
    "b52cb3f9709d19d3338fa6b103cc761c625ecfea94ef4bf9b20ad2a2fe5cf90d43ae5ebda6f7a4388cf0c976"     \
    "6a8eaa22e9d3a5acc1cd56cb2efae02af271342b4162d10592e7f2dcd3b1c8c40fbc34b9a811050124636323"     \
    "a4e272e6dfb89b6c19cb0f39958d1e6f87d557cf483843c00c190a10eb7839b61160e4f849b26c44da1d882f"     \
    "e7a47205ed69f2e6c2e4838c6f34f4c38781ca3de7c1e14dbb0203010001"
#define RSA_PKCS1_DER                                                                              \
    "3082010a0282010100af9f23c14a2d744b13282d048f07e7d1629c6f93bbe0c5f7b44b5d5ea598bdfde521d1"     \
    "e6984d501b9dfc8f96f073f86a1ea48cef0cc690b550878b49a0f1ebabb451e8df979bc9f3bd81bc568f2f4e"     \
    "ea885ea3be8362dbdcc5934df519ed9dec814de3b52cb3f9709d19d3338fa6b103cc761c625ecfea94ef4bf9"     \
    "b20ad2a2fe5cf90d43ae5ebda6f7a4388cf0c9766a8eaa22e9d3a5acc1cd56cb2efae02af271342b4162d105"     \
    "92e7f2dcd3b1c8c40fbc34b9a811050124636323a4e272e6dfb89b6c19cb0f39958d1e6f87d557cf483843c0"     \
    "0c190a10eb7839b61160e4f849b26c44da1d882fe7a47205ed69f2e6c2e4838c6f34f4c38781ca3de7c1e14d"     \
    "bb0203010001"
#define RSA_PSS_32                                                                                 \
    "51f88af544f838cfb47e7dd6decd23d34cd951afebb16304b122f48ae233d2cfb66e3409e5e6da2bf89e4c76"     \
    "67b3bef33596b10885536091f83d43967a8526e05e46b1581d354fadc54cf3e1888cc67118507bcb0a15400e"     \
    "c9be0c736a1bf88b367e8a29c0a6fd6ee0c19b34d55c325aae2fadccde4696af5f7c0fb1221a7a17d510f476"     \
    "3e8f869d6513fe813a41023940ad8e030e6ada872e70c0469124fd0414b124b264bad2988fe419ebe04fcdcf"     \
    "9e2ed40dcdb3a58122b6b2ca68ecb7c96d61b11eed473159a076e3f781fe726cf295f6045f024d103e8b6ebc"     \
    "c6e7882798604decb4311e83c09e32109cd0d07b05f0f86abeccc722dd242936464d20bb"
#define RSA_PSS_MAX                                                                                \
    "49a027777d994e1249f6f20f9d815ba56bc2d0f97dc9b76c017848c86d808f78f7b2b2626d731643d5bc036b"     \
    "f6e2bcdb704b6a5c1a2a3323a18fd5bbbaf84330118ddd1f3c6af5071c4f4cb46e0456a1214a2afd6d7aae1e"     \
    "8a9ca39ac0a28aea8bb539fdf1791ce31ada0f575b1f61b8b3287e2dc0b6245929817187271020b2c5fe94a9"     \
    "a64cfa5e63e5cbbc952b36aa16a136bdd2a90aa8106d39925f179e58b75ba036dec43bdf49156b12b1d1fd1d"     \
    "468c666a25f4fe55beca205598980af779fcf517620b4ebe11292aa6978a32952759fddfd9940f5631543b10"     \
    "406dadbe3777b09743f046a7cd9f4eaf54f48e7e791fb4787b479b1a14673d53339c95a9"
#define RSA_PSS_0                                                                                  \
    "856f7f033b02f84e998fe0f0ab3a92db33bea98c6ea3babae287e4af7cf44c1d37b9e31e555c99b4ad80b075"     \
    "38eff9f109bd8fd0b9d601af12b9a06690b7026e42d14518170e099bb31b055c5a1df5c24dadabdad558df91"     \
    "8641e47c69c4f9bb4f2a94842bbb23766bda411ff8e6cd772ccb1747aa25f5a9f0314a394ed22e0fd19d5b9d"     \
    "2051f4d519fa5f62003ab4a95427de584f7b86ac497e0e9048795e0e8fdc95c97447331dc4a4baf3cdecee88"     \
    "f4ea3ada4c8d1015b89be18da5503676e7486989f9339d2ae5c3f569221072afc250c0d137b0dc21cbec717b"     \
    "8da1be70fe3ce979412ff7d07ee666093c89e05e8f1ae22be3dd32c026c02c9050bc5d52"
#define RSA_PKCS1_SIGNATURE                                                                        \
    "86d0c60e2dfe8b315a01cebdaf414fb947e190ccc218cb644dcfbd51ff43efe5d98823cf8d28b8498f6ca0f1"     \
    "5e3b09c7ffd099248242442d4719deb32398ee842c5870a8f0f08dbaf3e46f6d027fe997c63b82b64c61a060"     \
    "0e37afb408f1bda180d9ff16403519eed1243919189b823be73192f1cf354861b133366197367143eef07c93"     \
    "2d61a1f1b68a843f9e2cf3cb11b6e85202f467403fe4446783dbfb8c0ddab5162f250581e1edfe4ef27b3aa1"     \
    "4a123a5aa40a44f235ae15fc07d29ef315a0e104a47b99fbe4f361ea536d1e4902744969bc086000c94a05f9"     \
    "0f08a4178ebdde25edfbfa74a31a34304e26f91b3139abb9165ccc10ec065c1fad8f8449"
#define RSA_PSS_SHA1_MGF                                                                           \
    "424f827125e0fbd7d83e0bbf747c34ea9176e061b79eccc4bbd1ed9356bea5dfd84f8c4bc69caec9736145ad"     \
    "4e857ed20a73dd714d0e251dd43520e502dd5fad40abc01c8a41611f069181596057454518235f993be4bd32"     \
    "bf18b89ae205dd791ca43242da9284e4b9faf6ca0d9cb35694922367be4b457398057251d38c7779516000e1"     \
    "5d262d07df1ed233cd881baa41a6cde70f20d333564e113d82495e4982639936020e75f92b36351c7f6d2304"     \
    "02defbca9b481a6c56f2ac83c1142b134326b1d8049e00812f9f16d591ad3a7786b2c6d8b0e089240b052d4c"     \
    "db8001d202ca323a6f9fd7be83d85414cadc56ab39e0e074658c422fbc123ec1e76b85e6"
#define RSA_PSS_SHA512                                                                             \
    "2bdc1609063205ed2150c3d155314c1b73053b4246e13edcd8162939e43ab1ead1c6d9f536b433ff6f91983a"     \
    "f393b3dc627789bc9e82e2a8d6cd6e17a03edeb53e234b782d0ce0844587ab42d1d3e3b0e8a082c68618f36d"     \
    "56380124e0475daa458bfeaf5655acf58cb2dca18e8c1bd8228b47f62b13ce67249fcae00a487efd9374737c"     \
    "84b9c2d1af8630f9f1e48c18a3e52c6870b7481044fd42217a2ee3e7beb32d5ef0c32b7b8e9bd4ae0b87fc30"     \
    "56d2e726c78efe8aa857efe759769569ff7c416e3b1b1052257a9435f89970adb4aec8bcbc9808bbda2dfadc"     \
    "ce49772e1772956cd8ce87537fb66a6df386828d728889fc61ba862b8c9f3a92b95be06a"
#define RSA1024_DER                                                                                \
    "30819f300d06092a864886f70d010101050003818d0030818902818100aa7a4dd3e70267f1664fb4a1779f30"     \
    "ef75a27e3220357a3ef3ef7cf003110614d09e7981678fee144efaaf3de26863e1c80f33c85a24410ee37a44"     \
    "6ad75eaafbcd2501e395fd82590a4b5d6a13aa71b00d406b4839e3cf9d8c28dd57457180fab384c32e358055"     \
    "11bc5f7c625fbe25dc16f5522c07fceb79d4356749a0f92ff50203010001"
#define RSA1024_PEM                                                                                \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCqek3T5wJn8WZPtKF3nzDvdaJ+\n"                           \
    "MiA1ej7z73zwAxEGFNCeeYFnj+4UTvqvPeJoY+HIDzPIWiRBDuN6RGrXXqr7zSUB\n"                           \
    "45X9glkKS11qE6pxsA1Aa0g548+djCjdV0VxgPqzhMMuNYBVEbxffGJfviXcFvVS\n"                           \
    "LAf863nUNWdJoPkv9QIDAQAB\n"                                                                   \
    "-----END PUBLIC KEY-----\n"
#define RSA1024_PSS                                                                                \
    "8e5140025dfcdfa6a5f1da05d16a7b84292391253c013a5f46d7ae20042ec54f22a2f3b24cb9da0acdf73451"     \
    "8b607758291472eb330db0d2b7342d112e590e825386acc55aef82346ee5985d50f6204352218719f22371b1"     \
    "a38a9f83354ce4f7d4d205a2bed14782017762ede7ebcc45600e34c6f3ac56021edcbe21a3ed7ce3"
#define EC_PEM                                                                                     \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESfLHgfDIk+Exd9JdJ7KGPrBbPVX4\n"                           \
    "dJE3E91HyQ68NbP/FVMJK3zP1+Mv4yfzUP7o19T4xRtKGlGl54dEi3B+jA==\n"                               \
    "-----END PUBLIC KEY-----\n"
#define EC_DER                                                                                     \
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000449f2c781f0c893e13177d25d27b2863eb0"     \
    "5b3d55f874913713dd47c90ebc35b3ff1553092b7ccfd7e32fe327f350fee8d7d4f8c51b4a1a51a5e787448b"     \
    "707e8c"
#define EC_POINT                                                                                   \
    "0449f2c781f0c893e13177d25d27b2863eb05b3d55f874913713dd47c90ebc35b3ff1553092b7ccfd7e32fe3"     \
    "27f350fee8d7d4f8c51b4a1a51a5e787448b707e8c"
#define EC_COMPRESSED "0249f2c781f0c893e13177d25d27b2863eb05b3d55f874913713dd47c90ebc35b3"
#define EC_COMPRESSED_DER                                                                          \
    "3039301306072a8648ce3d020106082a8648ce3d0301070322000249f2c781f0c893e13177d25d27b2863eb0"     \
    "5b3d55f874913713dd47c90ebc35b3"
#define EC_SIGNATURE                                                                               \
    "304402205b1bcaa02554ed5f978871e05e473aae7b3f427f12c1a45a0d30c701712696cc0220344b32a45fb8"     \
    "e9fe25f065f03d7e03944fa3a2ed3454076f1490f6177b540a84"
#define EC_RAW_SIGNATURE                                                                           \
    "5b1bcaa02554ed5f978871e05e473aae7b3f427f12c1a45a0d30c701712696cc344b32a45fb8e9fe25f065f0"     \
    "3d7e03944fa3a2ed3454076f1490f6177b540a84"
#define EC_SHA384_SIGNATURE                                                                        \
    "3046022100f3cac5e362dcf9e274f0ba8a51dd9211b5c18bfaedfc56733d8baae71e92b7c6022100fceeedcd"     \
    "6ea2be3d9924bd5686794557f8a62f72c88c8c9e837736027da7a11d"
#define P384_PEM                                                                                   \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEokx0xufHxqtkL+UibBxuk1Zuh9MNpcwJ\n"                           \
    "ELl+Dv4FUxhX9PYDWUCrcOUNWjDf0px2JF51lp5sScAZarFf3Z/bsF0V/S+zZd0X\n"                           \
    "yCWvMPai/NXeQny3+ufxzzvMAAMyP3S1\n"                                                           \
    "-----END PUBLIC KEY-----\n"
#define P384_DER                                                                                   \
    "3076301006072a8648ce3d020106052b8104002203620004a24c74c6e7c7c6ab642fe5226c1c6e93566e87d3"     \
    "0da5cc0910b97e0efe05531857f4f6035940ab70e50d5a30dfd29c76245e75969e6c49c0196ab15fdd9fdbb0"     \
    "5d15fd2fb365dd17c825af30f6a2fcd5de427cb7fae7f1cf3bcc0003323f74b5"
#define P384_SIGNATURE                                                                             \
    "3065023100f892abd4efb73602cc63cc8ccaec8808143789e4e499473313529c6e637832c9597e3f1c450641"     \
    "bb8dbe44d6559e6872023032ac50237885783dea38554a3e31e9082a65ce0fd8605709067099cec899b74f32"     \
    "e573c213b1feffaca2cd27e4d8df16"
#define ED_PEM                                                                                     \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MCowBQYDK2VwAyEA6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\n"                               \
    "-----END PUBLIC KEY-----\n"
#define ED_HEX "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
#define ED_SIGNATURE                                                                               \
    "f011cdf17427b14152cd49a7b2f1111f4617223116770077fb082cfc0bb32f613fc0494d987708085e1b0a6a"     \
    "bfc1fa0b1542f83f56aafe1dc7184ef7efd73608"
#define RFC6979_DER                                                                                \
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000460fed4ba255a9d31c961eb74c6356d68c0"     \
    "49b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4"     \
    "462299"
#define RFC6979_SAMPLE                                                                             \
    "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c94"     \
    "2d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"

#endif
