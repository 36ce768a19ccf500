"""Show live requests to a candidate in spare time and compare what it says: nobody's answer is touched."""
