"""What people bring: data sets as they have them, photos as they take them."""
