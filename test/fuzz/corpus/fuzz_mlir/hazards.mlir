!a = tuple<i32>
#m = affine_map<(d0) -> (--d0 * (1 + 2) floordiv 3)>
// { ( [ <
func.func private @"x y"(tuple<!a, tensor<*xf32>>) -> (index, vector<[4]x2xf16>)
    attributes {a = array<i64: 1, 2>, b = [[[1.5e3, 0x1F : i64]]],
                c = {d = #m, "e f" = !a}, h = "{[(<\22>",
                g = dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>,
                i = dense<"0x01020304"> : tensor<4xi8>}
